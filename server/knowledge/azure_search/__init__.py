"""Azure AI Search behind the port of the knowledge room, and what fills its indexes. It knows no other adapter."""

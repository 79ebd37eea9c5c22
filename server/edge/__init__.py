"""The front door: one port, HTTP to the web application, WebSockets to sessions; nothing here knows a session."""

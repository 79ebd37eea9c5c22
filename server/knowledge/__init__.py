"""What an avatar knows: knowledge bases, how they are searched and how they are filled."""

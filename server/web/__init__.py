"""The web application: health and the plain page, over Quart-Trio. Avatars do not come this way."""

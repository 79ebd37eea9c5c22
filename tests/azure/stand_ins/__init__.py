"""Stand-ins for what a server on Azure talks to: strict about what they accept, real sockets, loopback only."""

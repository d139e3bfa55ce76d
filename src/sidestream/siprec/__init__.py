"""SIPREC, the client's side: recording sessions (RFC 7866) and their metadata (RFC 7865), pure."""

"""The runtime of a gateway: drivers for sockets, timers, files and the media engine, and their wiring."""

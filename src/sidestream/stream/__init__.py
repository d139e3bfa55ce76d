"""The media stream protocol, version 1: its messages and the life of one stream, without any I/O."""

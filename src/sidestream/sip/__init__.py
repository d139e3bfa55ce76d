"""SIP as a pure protocol core: messages, transactions and dialogs without I/O, clocks or tasks (RFC 3261)."""

"""Call logic: the back-to-back user agent as pure state tables, without sockets, clocks or tasks."""

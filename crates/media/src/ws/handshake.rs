//! The HTTP/1.1 upgrade (RFC 6455 section 4): the request, and the check of its answer.

//! TLS settings for connections to endpoints: trust anchors, and a certificate's faults in words.

//! What the fuzzers run. The same bodies are a test of `media`, which replays the kept corpora on every compiler.
pub mod targets;

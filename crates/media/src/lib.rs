//! The Sidestream media engine.

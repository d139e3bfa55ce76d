//! Python binding of the Sidestream media engine.
use pyo3::prelude::*;

/// The native media engine.
#[pymodule]
fn _media(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}

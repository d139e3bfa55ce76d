//! Python binding of the Sidestream media engine: types and errors only (ADR 1). What each method means
//! is said in `src/sidestream/_media.pyi`.
use std::os::fd::{AsRawFd, RawFd};

use ::media::error::{self, MediaError as Refusal};
use ::media::orders::{self, EngineSpec};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

create_exception!(
    sidestream._media,
    MediaError,
    PyException,
    "The engine refused an order; nothing has changed."
);

/// The Python exception of a refused order, with its kind.
fn raise(py: Python<'_>, refusal: &Refusal) -> PyErr {
    let raised = MediaError::new_err(refusal.to_string());
    match raised.value(py).setattr("kind", refusal.kind().as_str()) {
        Ok(()) => raised,
        Err(failure) => failure,
    }
}

/// Does something without the interpreter's lock.
fn order<T: Send>(py: Python<'_>, work: impl FnOnce() -> error::Result<T> + Send) -> PyResult<T> {
    py.detach(work).map_err(|refusal| raise(py, &refusal))
}

/// The media engine of one process.
#[pyclass(frozen, module = "sidestream._media")]
struct Engine(::media::engine::Engine);

#[pymethods]
impl Engine {
    #[new]
    fn new(py: Python<'_>, spec: &[u8]) -> PyResult<Self> {
        order(py, || {
            let spec: EngineSpec = orders::read(spec)?;
            ::media::engine::Engine::start(spec).map(Self)
        })
    }

    fn fileno(&self) -> RawFd {
        self.0.events_fd().as_raw_fd()
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let json = order(py, || self.0.events_json())?;
        Ok(PyBytes::new(py, &json))
    }

    fn open_call(&self, py: Python<'_>) -> PyResult<(u64, u16, u16)> {
        order(py, || self.0.open_call())
    }

    fn set_leg(&self, py: Python<'_>, call: u64, spec: &[u8]) -> PyResult<()> {
        order(py, || self.0.set_leg(call, spec))
    }

    #[pyo3(signature = (call, on, /))]
    fn bridge(&self, py: Python<'_>, call: u64, on: bool) -> PyResult<()> {
        order(py, || self.0.bridge(call, on))
    }

    fn open_stream(&self, py: Python<'_>, call: u64, spec: &[u8]) -> PyResult<u64> {
        order(py, || self.0.open_stream(call, spec))
    }

    fn connect_stream(&self, py: Python<'_>, stream: u64, attempt: &[u8]) -> PyResult<()> {
        order(py, || self.0.connect_stream(stream, attempt))
    }

    fn send_on_stream(
        &self,
        py: Python<'_>,
        stream: u64,
        event: &str,
        body: &[u8],
    ) -> PyResult<()> {
        order(py, || self.0.send_on_stream(stream, event, body))
    }

    #[pyo3(signature = (stream, on, /))]
    fn pause_stream(&self, py: Python<'_>, stream: u64, on: bool) -> PyResult<()> {
        order(py, || self.0.pause_stream(stream, on))
    }

    fn close_stream(
        &self,
        py: Python<'_>,
        stream: u64,
        body: &[u8],
        code: u16,
        drain_ms: u32,
    ) -> PyResult<()> {
        order(py, || self.0.close_stream(stream, body, code, drain_ms))
    }

    fn abort_stream(&self, py: Python<'_>, stream: u64) -> PyResult<()> {
        order(py, || self.0.abort_stream(stream))
    }

    fn open_recording(&self, py: Python<'_>, call: u64, spec: &[u8]) -> PyResult<(u64, Vec<u16>)> {
        order(py, || self.0.open_recording(call, spec))
    }

    fn set_recording(&self, py: Python<'_>, recording: u64, target: &[u8]) -> PyResult<()> {
        order(py, || self.0.set_recording(recording, target))
    }

    #[pyo3(signature = (recording, on, /))]
    fn pause_recording(&self, py: Python<'_>, recording: u64, on: bool) -> PyResult<()> {
        order(py, || self.0.pause_recording(recording, on))
    }

    fn query_recording(&self, py: Python<'_>, recording: u64) -> PyResult<()> {
        order(py, || self.0.query_recording(recording))
    }

    fn close_recording(&self, py: Python<'_>, recording: u64) -> PyResult<()> {
        order(py, || self.0.close_recording(recording))
    }

    fn query_call(&self, py: Python<'_>, call: u64) -> PyResult<()> {
        order(py, || self.0.query_call(call))
    }

    fn close_call(&self, py: Python<'_>, call: u64) -> PyResult<()> {
        order(py, || self.0.close_call(call))
    }

    fn totals<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let json = order(py, || self.0.totals_json())?;
        Ok(PyBytes::new(py, &json))
    }

    fn shutdown(&self, py: Python<'_>) {
        py.detach(|| self.0.shutdown());
    }
}

/// Both directions of a party's SRTP.
#[pyclass(frozen, module = "sidestream._media")]
struct Srtp(::media::srtp::Party);

#[pymethods]
impl Srtp {
    #[new]
    fn new(py: Python<'_>, keys: &[u8]) -> PyResult<Self> {
        order(py, || ::media::srtp::Party::new(keys).map(Self))
    }

    fn rekey(&self, py: Python<'_>, keys: &[u8]) -> PyResult<()> {
        order(py, || self.0.rekey(keys))
    }

    fn protect<'py>(&self, py: Python<'py>, packet: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let made = order(py, || self.0.protect(packet))?;
        Ok(PyBytes::new(py, &made))
    }

    fn protect_report<'py>(&self, py: Python<'py>, packet: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let made = order(py, || self.0.protect_report(packet))?;
        Ok(PyBytes::new(py, &made))
    }

    fn unprotect<'py>(&self, py: Python<'py>, packet: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let made = order(py, || self.0.unprotect(packet))?;
        Ok(PyBytes::new(py, &made))
    }

    fn unprotect_report<'py>(
        &self,
        py: Python<'py>,
        packet: &[u8],
    ) -> PyResult<Bound<'py, PyBytes>> {
        let made = order(py, || self.0.unprotect_report(packet))?;
        Ok(PyBytes::new(py, &made))
    }
}

/// The native media engine.
#[pymodule]
fn _media(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let error = py.get_type::<MediaError>();
    error.setattr("kind", "")?;
    module.add("MediaError", error)?;
    module.add_class::<Engine>()?;
    module.add_class::<Srtp>()?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}

//! Attempts to connect: each way in which one can fail has its reason and its words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod endpoint;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use endpoint::{attempt_on, read_all, Authority, Endpoint, Flaw};
use media::connector::{Connector, ConnectorLimits, FailReason, Failed};
use media::orders::ConnectAttempt;

fn connector() -> Connector {
    Connector::start(ConnectorLimits::default()).unwrap()
}

fn failure(attempt: ConnectAttempt) -> Failed {
    attempt_on(&connector(), attempt).expect_err("a failure")
}

/// Accepts TLS connections whose handshake fails.
fn failing_tls(endpoint: &Endpoint) {
    endpoint.serve_raw(|mut socket| {
        let _ = socket.read(&mut [0; 1]);
        std::thread::sleep(Duration::from_millis(300));
    });
}

/// Why an attempt that trusts `trusted` fails on a server with this certificate.
fn certificate_failure(trusted: &Authority, issuer: &Authority, flaw: &Flaw) -> String {
    let endpoint = Endpoint::new(None);
    let config = issuer.server(flaw);
    let server = endpoint.serve_raw(move |mut socket| {
        let mut connection = rustls::ServerConnection::new(config).unwrap();
        // Until the client has refused.
        while connection
            .complete_io(&mut socket)
            .is_ok_and(|(read, _)| read > 0)
        {}
    });
    let failed = failure(endpoint.attempt(Some(trusted)));
    assert_eq!(failed.reason, FailReason::TlsCertificate, "{failed:?}");
    server.join().unwrap();
    failed.detail
}

#[test]
fn certificates_that_do_not_stand_are_told_in_words() {
    let (authority, other) = (Authority::new("one"), Authority::new("other"));
    let told = |issuer, flaw, words: &str| {
        let detail = certificate_failure(&authority, issuer, &flaw);
        assert!(detail.contains(words), "{detail}");
    };
    let (expired, name) = (true, Some("other.example"));
    told(
        &authority,
        Flaw {
            expired,
            name: None,
        },
        "expired on 2002-02-03",
    );
    told(
        &authority,
        Flaw {
            expired: false,
            name,
        },
        "not for 127.0.0.1 but for other.example",
    );
    told(&other, Flaw::default(), "unknown issuer");
}

#[test]
fn an_endpoint_without_tls_is_a_failed_handshake() {
    let authority = Authority::new("test");
    let endpoint = Endpoint::new(None);
    endpoint.serve_raw(|mut socket| socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    assert_eq!(
        failure(endpoint.attempt(Some(&authority))).reason,
        FailReason::TlsHandshake
    );
    failing_tls(&endpoint);
    assert_eq!(
        failure(endpoint.attempt(Some(&authority))).reason,
        FailReason::TlsHandshake
    );
}

#[test]
fn other_answers_than_an_upgrade_have_their_status() {
    let answer = |bytes: &'static [u8]| {
        let endpoint = Endpoint::new(None);
        let server = endpoint.serve_raw(move |mut socket| {
            let mut request = [0; 4096];
            let count = socket.read(&mut request).unwrap();
            socket.write_all(bytes).unwrap();
            String::from_utf8_lossy(&request[..count]).into_owned()
        });
        let failed = failure(endpoint.attempt(None));
        assert!(server
            .join()
            .unwrap()
            .starts_with("GET /calls?x=1 HTTP/1.1\r\n"));
        (failed.reason, failed.http_status, failed.detail)
    };
    let (reason, status, detail) =
        answer(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n");
    assert_eq!((reason, status), (FailReason::HttpStatus, Some(401)));
    assert!(
        detail.ends_with("the endpoint answered 401 Unauthorized"),
        "{detail}"
    );
    let (reason, status, detail) =
        answer(b"HTTP/1.1 307 Temporary\r\nLocation: /elsewhere\r\n\r\n");
    assert_eq!((reason, status), (FailReason::HttpStatus, Some(307)));
    assert!(detail.contains("not followed"), "{detail}");
    let (reason, status, _) = answer(b"220 smtp.example ESMTP\r\n");
    assert_eq!((reason, status), (FailReason::HttpProtocol, None));
    let (reason, ..) = answer(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(reason, FailReason::HttpProtocol);
    let (reason, _, detail) = answer(b"HTTP/1.1 101 Swi");
    assert_eq!(reason, FailReason::HttpProtocol);
    assert!(
        detail.contains("closed the connection during the upgrade"),
        "{detail}"
    );
}

#[test]
fn a_closed_port_is_refused_and_the_next_address_is_tried() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let endpoint = Endpoint::new(None);
    let mut attempt = endpoint.attempt(None);
    attempt.port = closed.port();
    let failed = failure(attempt);
    assert_eq!(failed.reason, FailReason::TcpRefused);
    assert!(
        failed.detail.contains(&closed.to_string()),
        "{}",
        failed.detail
    );

    let server = endpoint.serve(read_all);
    let mut attempt = endpoint.attempt(None);
    attempt
        .addresses
        .insert(0, Ipv4Addr::new(127, 0, 0, 77).into());
    let established = attempt_on(&connector(), attempt).unwrap();
    assert_eq!(established.address, endpoint.address());
    drop(established);
    server.join().unwrap();
}

#[test]
fn an_endpoint_that_says_nothing_is_a_timeout_of_the_stage() {
    let authority = Authority::new("test");
    let endpoint = Endpoint::new(None);
    for (authority, stage) in [
        (None, "the upgrade"),
        (Some(&authority), "the TLS handshake"),
    ] {
        endpoint.serve_raw(|socket| {
            std::thread::sleep(Duration::from_secs(2));
            drop(socket);
        });
        let mut attempt = endpoint.attempt(authority);
        attempt.timeout_ms = 150;
        let begun = Instant::now();
        let failed = failure(attempt);
        assert_eq!(failed.reason, FailReason::Timeout);
        assert!(failed.detail.contains(stage), "{}", failed.detail);
        assert!(begun.elapsed() < Duration::from_millis(1500));
    }
}

#[test]
fn orders_that_can_not_be_followed_are_the_engines_failure() {
    let endpoint = Endpoint::new(None);
    let refused = |change: fn(&mut ConnectAttempt)| {
        let mut attempt = endpoint.attempt(None);
        change(&mut attempt);
        assert_eq!(failure(attempt).reason, FailReason::Engine);
    };
    refused(|attempt| attempt.addresses.clear());
    refused(|attempt| attempt.path = "/a b".to_owned());
    refused(|attempt| {
        attempt
            .headers
            .push(("X".to_owned(), "a\r\nY: b".to_owned()));
    });
    refused(|attempt| attempt.connect = "[]".to_owned());
    refused(|attempt| {
        attempt.server_name = Some("127.0.0.1".to_owned());
        attempt.ca_pem = Some("no certificate".to_owned());
    });
}

#[test]
fn many_attempts_wait_for_their_turn_and_none_is_forgotten() {
    let limits = ConnectorLimits {
        in_flight: 2,
        waiting: 1000,
    };
    let connector = Connector::start(limits).unwrap();
    let endpoint = Endpoint::new(None);
    let (sender, receiver) = std::sync::mpsc::channel();
    let mut servers = Vec::new();
    for number in 0..40 {
        servers.push(endpoint.serve(read_all));
        let sender = sender.clone();
        let reply = Box::new(move |outcome: media::connector::Outcome| {
            sender.send((number, outcome.is_ok())).unwrap();
        });
        connector.connect(endpoint.attempt(None), reply);
    }
    let mut answered: Vec<_> = receiver.iter().take(40).collect();
    answered.sort_unstable();
    assert_eq!(
        answered,
        (0..40).map(|number| (number, true)).collect::<Vec<_>>()
    );
    for server in servers {
        server.join().unwrap();
    }
}

#[test]
fn the_end_of_the_connector_answers_all() {
    let connector = Connector::start(ConnectorLimits {
        in_flight: 1,
        waiting: 1,
    })
    .unwrap();
    let endpoint = Endpoint::new(None);
    let (sender, receiver) = std::sync::mpsc::channel();
    for _ in 0..5 {
        let sender = sender.clone();
        let reply =
            Box::new(move |outcome: media::connector::Outcome| sender.send(outcome).unwrap());
        connector.connect(endpoint.attempt(None), reply);
    }
    drop(connector);
    drop(sender);
    let failures: Vec<Failed> = receiver
        .iter()
        .map(|outcome| outcome.unwrap_err())
        .collect();
    assert_eq!(failures.len(), 5);
    assert!(
        failures
            .iter()
            .all(|failed| failed.reason == FailReason::Engine),
        "{failures:?}"
    );
}

//! Joining and renewing: the only things that `farwatch-join/1` and `farwatch-renew/1` carry.

use serde::{Deserialize, Serialize};

use crate::wire::Message;

/// Probe → Central on `farwatch-join/1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The token's 32 secret bytes.
    pub secret: [u8; 32],
    /// A PKCS#10 request in DER; only its public key counts, its names are ignored.
    pub csr: Vec<u8>,
    /// The machine's name, a suggestion for the probe's.
    pub host_name: String,
    /// The program, e.g. `farwatch-probe 0.1.0`.
    pub program: String,
}
impl Message for JoinRequest {
    const TYPE: u16 = 48;
    const VERSION: u16 = 1;
}

/// Probe → Central on `farwatch-renew/1`, or as a pull on a session: the same key asks for a new certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// As in [`JoinRequest`]; must hold the key of the certificate that is shown.
    pub csr: Vec<u8>,
}
impl Message for RenewRequest {
    const TYPE: u16 = 49;
    const VERSION: u16 = 1;
}

/// Central → probe: the certificate, or why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateAnswer {
    /// Empty when granted; else one sentence that says what to do.
    pub refused: String,
    /// `token_unknown`, `token_used`, `token_expired`, `revoked`, `wrong_key`, `bad_request`, `too_old`, `busy`; empty when granted.
    pub reason: String,
    /// Leaf in DER.
    pub certificate: Vec<u8>,
    /// CA certificates in DER, newest first.
    pub ca: Vec<Vec<u8>>,
    /// 16 bytes each: probe, site, customer.
    pub probe_id: [u8; 16],
    /// Site.
    pub site_id: [u8; 16],
    /// Customer.
    pub customer_id: [u8; 16],
    /// `host:port` list where Central is reached.
    pub addresses: Vec<String>,
    /// Names for people: customer, site, probe.
    pub names: (String, String, String),
}
impl Message for CertificateAnswer {
    const TYPE: u16 = 50;
    const VERSION: u16 = 1;
}

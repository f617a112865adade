//! The probe's program for technicians, and the script that installs it.
//!
//! The one line to paste holds the SHA-256 of the script, and the script those of the programs: what runs as root at the
//! site is what this Central has, also where its certificate is not known there.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Central;
use super::error::ApiError;
use super::extract::Params;
use super::guard::Routes;
use crate::auth::scope::Permission;
use crate::store::value::words;

const PROGRAM: &str = "farwatch-probe";
/// Its `@…@` are filled when it is served.
const SCRIPT: &str = include_str!("../install.sh");
const UNIT: &str = include_str!("../../../examples/systemd/farwatch-probe.service");

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .add(Permission::Public, routes!(get_install_script))
        .add(Permission::Public, routes!(download_probe))
}

pub(super) fn api_routes(routes: Routes) -> Routes {
    routes.add(Permission::See, routes!(get_openapi))
}

words! {
    /// Machines that a probe runs on.
    pub(super) enum Arch {
        /// 64-bit PC.
        X86_64 => "x86_64",
        /// 64-bit ARM.
        Aarch64 => "aarch64",
    }
}

/// For which machine.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DownloadQuery {
    /// This machine's kind by default.
    arch: Option<Arch>,
}

/// This document.
#[derive(ToSchema)]
#[schema(value_type = Object)]
#[expect(dead_code, reason = "only names the schema")]
pub(super) struct OpenApiDocument(serde_json::Value);

/// This document.
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "openapi", operation_id = "get_openapi", responses((status = 200, body = OpenApiDocument)))]
async fn get_openapi(State(central): State<Central>) -> Json<utoipa::openapi::OpenApi> {
    Json(super::document(central.clone()))
}

/// The program for `arch`, where Central has it: in the configured directory, or beside Central's own program.
fn find(downloads: &Path, arch: Arch) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok();
    let beside = beside.as_deref().and_then(Path::parent);
    let named = format!("{PROGRAM}-{arch}");
    let own = (std::env::consts::ARCH == arch.as_str()).then_some(PROGRAM);
    [
        Some(downloads).filter(|path| !path.as_os_str().is_empty()),
        beside,
    ]
    .into_iter()
    .flatten()
    .flat_map(|dir| [Some(dir.join(&named)), own.map(|own| dir.join(own))])
    .flatten()
    .find(|path| path.is_file())
}

/// SHA-256 of a file, computed again when it has changed.
fn checksum(path: &Path) -> std::io::Result<String> {
    type Known = HashMap<PathBuf, (SystemTime, u64, String)>;
    static KNOWN: Mutex<Option<Known>> = Mutex::new(None);
    let meta = std::fs::metadata(path)?;
    let (changed, size) = (meta.modified()?, meta.len());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    if let Some((at, length, sum)) = known.get(path)
        && (*at, *length) == (changed, size)
    {
        return Ok(sum.clone());
    }
    let mut hash = Sha256::new();
    std::io::copy(&mut std::fs::File::open(path)?, &mut hash)?;
    let sum = HEXLOWER.encode(&hash.finalize());
    known.insert(path.to_owned(), (changed, size, sum.clone()));
    Ok(sum)
}

/// What cannot be part of an address is left out: the script's text is ours alone.
fn shell_word(text: &str) -> String {
    text.chars()
        .filter(|c| {
            c.is_ascii_alphanumeric() || matches!(c, ':' | '/' | '.' | '-' | '_' | '[' | ']')
        })
        .collect()
}

/// The one line to paste on the machine at the site. Root may have no `sudo`, and needs none.
///
/// # Errors
/// The programs cannot be read.
pub(super) async fn install_command(central: &Central, token: &str) -> Result<String, ApiError> {
    let settings = &central.settings;
    let available = Arch::ALL
        .iter()
        .any(|arch| find(&settings.downloads, *arch).is_some());
    if settings.console.is_empty() || !available {
        return Ok(format!("{PROGRAM} join {token}"));
    }
    let console = shell_word(&settings.console);
    let script = HEXLOWER.encode(&Sha256::digest(script(central).await?));
    // The certificate may be unknown at the site; the checksum is what is trusted.
    Ok(format!(
        "curl -fsSk {console}/install.sh -o /tmp/farwatch-install.sh && echo '{script}  /tmp/farwatch-install.sh' | sha256sum -c - && $(command -v sudo) sh /tmp/farwatch-install.sh {token}"
    ))
}

/// The script, with this Central's address and the checksums of its programs.
async fn script(central: &Central) -> Result<String, ApiError> {
    let central = central.clone();
    tokio::task::spawn_blocking(move || {
        let settings = &central.settings;
        let mut sums = String::new();
        for arch in Arch::ALL {
            if let Some(path) = find(&settings.downloads, *arch) {
                let sum = checksum(&path)?;
                // Writing to a string cannot fail.
                let _ = writeln!(sums, "  {arch}) sum={sum} ;;");
            }
        }
        Ok::<_, std::io::Error>(
            SCRIPT
                .replace("@CONSOLE@", &shell_word(&settings.console))
                .replace("@CHECKSUMS@\n", &sums)
                .replace("@UNIT@\n", UNIT),
        )
    })
    .await
    .map_err(|error| ApiError::Internal(error.into()))?
    .map_err(|error| ApiError::Internal(error.into()))
}

/// The script that installs a probe.
#[utoipa::path(get, path = "/install.sh", responses((status = 200, body = String)))]
async fn get_install_script(State(central): State<Central>) -> Result<Response, ApiError> {
    let kind = HeaderValue::from_static("text/x-shellscript; charset=utf-8");
    let script = script(&central).await?;
    Ok(([(header::CONTENT_TYPE, kind)], script).into_response())
}

/// The probe's program.
#[utoipa::path(get, path = "/download/farwatch-probe", params(DownloadQuery), responses((status = 200, body = Vec<u8>), (status = 404)))]
async fn download_probe(
    State(central): State<Central>,
    Params(query): Params<DownloadQuery>,
) -> Result<Response, ApiError> {
    let arch = match query.arch {
        Some(arch) => arch,
        None => Arch::from_word(std::env::consts::ARCH).ok_or(ApiError::NotFound)?,
    };
    let found = tokio::task::spawn_blocking(move || {
        let path = find(&central.settings.downloads, arch)?;
        let sum = checksum(&path).ok()?;
        Some((path, sum))
    })
    .await
    .map_err(|error| ApiError::Internal(error.into()))?;
    let (path, sum) = found.ok_or(ApiError::NotFound)?;
    let file = tokio::fs::File::open(&path)
        .await
        .map_err(|error| ApiError::Internal(error.into()))?;
    let length = file
        .metadata()
        .await
        .map_err(|error| ApiError::Internal(error.into()))?
        .len();
    let chunks = futures::stream::unfold(file, |mut file| async move {
        use tokio::io::AsyncReadExt as _;
        let mut chunk = bytes::BytesMut::with_capacity(64 * 1_024);
        match file.read_buf(&mut chunk).await {
            Ok(0) => None,
            Ok(_) => Some((Ok::<_, std::io::Error>(chunk.freeze()), file)),
            Err(error) => Some((Err(error), file)),
        }
    });
    let mut response = Body::from_stream(chunks).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"farwatch-probe\""),
    );
    if let Ok(sum) = HeaderValue::from_str(&sum) {
        headers.insert("x-checksum-sha256", sum);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_hostile_address_reaches_the_shell() {
        assert_eq!(
            shell_word("https://noc.example:8443/'$(reboot)`; \n"),
            "https://noc.example:8443/reboot"
        );
    }

    #[test]
    fn a_checksum_follows_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("farwatch-probe-aarch64");
        for contents in ["program", "another program"] {
            std::fs::write(&path, contents).unwrap();
            let wanted = HEXLOWER.encode(&Sha256::digest(contents));
            assert_eq!(checksum(&path).unwrap(), wanted);
        }
        assert_eq!(find(dir.path(), Arch::Aarch64), Some(path));
    }
}

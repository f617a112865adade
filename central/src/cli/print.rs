//! Answers for people, and for machines with `--json`.

use std::io::Write as _;

use serde_json::Value;

/// Prints what came of a command. Whoever has read enough (`| head`) may go.
///
/// # Errors
/// It cannot be written.
pub fn answer(what: &str, value: &Value, as_json: bool) -> std::io::Result<()> {
    match write(what, value, as_json) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn write(what: &str, value: &Value, as_json: bool) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if as_json {
        return writeln!(out, "{value}");
    }
    let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
    match what {
        "link" => writeln!(
            out,
            "{}\nIt works once, until {}.",
            text("link"),
            text("expires_at")
        ),
        "token" => writeln!(
            out,
            "{}\n\nToken:  {}\nValid until {}. It is shown only now.",
            text("command"),
            text("token"),
            text("expires_at")
        ),
        "made" => writeln!(out, "{}  {}", text("id"), text("name")),
        "diagnostics" => writeln!(
            out,
            "{} holds no secrets; look into it before you send it",
            text("file")
        ),
        "revoked" => writeln!(out, "{} is revoked", text("id")),
        "restored" => writeln!(
            out,
            "Restored {}. What was there is in {}.\n{}.",
            text("restored"),
            text("moved_aside"),
            text("note")
        ),
        "ca" => {
            writeln!(out, "Key    {}", text("sha256"))?;
            if value["earlier"] == 0 {
                return writeln!(out, "No CA before it is trusted any more.");
            }
            writeln!(
                out,
                "Since  {}; {} before it still trusted",
                text("since"),
                value["earlier"]
            )?;
            let behind: Vec<_> = value["probes_behind"]
                .as_array()
                .map(|names| names.iter().filter_map(Value::as_str).collect())
                .unwrap_or_default();
            match behind.as_slice() {
                [] => writeln!(
                    out,
                    "Every probe has renewed since: farwatch-central ca retire"
                ),
                names => writeln!(out, "Not renewed since: {}", names.join(", ")),
            }
        }
        "backup" => {
            let files = value["files"].as_array().map_or(0, Vec::len);
            writeln!(
                out,
                "{files} files. Keep them as you keep the machine: the vault's key is among them."
            )
        }
        "customers" | "sites" | "probes" => rows(&mut out, what, value),
        "audit" => writeln!(
            out,
            "{} entries: {}",
            value["entries"],
            if value["whole"] == true {
                "none is missing"
            } else {
                "SOME ARE MISSING"
            }
        ),
        _ => writeln!(out, "{value:#}"),
    }
}

fn rows(out: &mut impl std::io::Write, what: &str, value: &Value) -> std::io::Result<()> {
    let empty = Vec::new();
    let items = value["items"].as_array().unwrap_or(&empty);
    for item in items {
        let text = |key: &str| item[key].as_str().unwrap_or_default();
        let devices = &item["devices"];
        let place = match what {
            "customers" => String::new(),
            "sites" => format!("{}  ", text("customer_name")),
            _ => format!("{} / {}  ", text("customer_name"), text("site_name")),
        };
        writeln!(
            out,
            "{}  {place}{}  {}  {devices} devices",
            text("id"),
            text("name"),
            text("state")
        )?;
    }
    if items.is_empty() {
        writeln!(out, "none")?;
    }
    Ok(())
}

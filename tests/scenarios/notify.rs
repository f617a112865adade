//! An incident reaches a person: by mail through a real SMTP server, even when that server is away at first.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use farwatch_tests::{eventually, free_udp_and_tcp_port, world::World};
use serde_json::json;

const SOON: Duration = Duration::from_secs(60);

/// Debian's aiosmtpd, keeping mail in a Maildir.
struct MailServer(Child);

impl MailServer {
    fn start(port: u16, maildir: &Path) -> Option<Self> {
        let python = ["/usr/bin/python3", "python3"].into_iter().find(|python| {
            let probe = Command::new(python)
                .args(["-c", "import aiosmtpd"])
                .stderr(Stdio::null())
                .status();
            probe.is_ok_and(|status| status.success())
        })?;
        let child = Command::new(python)
            .args([
                "-m",
                "aiosmtpd",
                "--nosetuid",
                "--listen",
                &format!("127.0.0.1:{port}"),
            ])
            .args(["--class", "aiosmtpd.handlers.Mailbox"])
            .arg(maildir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self(child))
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mails(maildir: &Path) -> Vec<String> {
    let new: PathBuf = maildir.join("new");
    let entries = std::fs::read_dir(new).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| std::fs::read_to_string(entry.path()).ok())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incident_is_mailed_once_even_when_the_mail_server_was_away() {
    let mut world = World::start(50, |site| site.devices(3)).await.unwrap();
    let port = free_udp_and_tcp_port().unwrap();
    let maildir = world.central.dir.with_file_name("mail");
    if MailServer::start(
        free_udp_and_tcp_port().unwrap(),
        &maildir.with_extension("trial"),
    )
    .is_none()
    {
        println!("left out: no SMTP server here (Debian's python3-aiosmtpd)");
        return;
    }
    let settings = json!({
        "host": "127.0.0.1", "port": port, "security": "none", "user_name": "",
        "from": "farwatch@msp.example", "to": ["noc@msp.example"],
    });
    world
        .central
        .post(
            "/channels",
            json!({ "name": "NOC mail", "kind": "email", "enabled": true, "settings": settings }),
        )
        .await
        .unwrap();
    world.devices_up(3, SOON).await;
    // The mail server is not there yet when the device goes down.
    world.site.devices()[2].set_silent(true);
    eventually(SOON, "the try failed and was noted", || async {
        let channels = world
            .central
            .list("/channels")
            .await
            .map_err(|error| error.to_string())?;
        if channels[0]["last_result"]["state"] == "failed" {
            Ok(())
        } else {
            Err(channels[0].to_string())
        }
    })
    .await;
    let _server = MailServer::start(port, &maildir).unwrap();
    let mail = eventually(SOON, "the mail is there", || async {
        match mails(&maildir).as_slice() {
            [one] => Ok(one.clone()),
            other => Err(format!("{} mails", other.len())),
        }
    })
    .await;
    let name = world.site.devices()[2].name();
    assert!(mail.contains(&format!("Subject: {name} is down")), "{mail}");
    assert!(
        mail.contains("To: noc@msp.example") && mail.contains("Customer 50 / Main"),
        "{mail}"
    );
    world.site.devices()[2].set_silent(false);
    eventually(SOON, "its end is mailed too", || async {
        let all = mails(&maildir);
        if all.len() == 2
            && all
                .iter()
                .any(|mail| mail.contains(&format!("Subject: Resolved: {name} is down")))
        {
            Ok(())
        } else {
            Err(all.len())
        }
    })
    .await;
    world.end();
}

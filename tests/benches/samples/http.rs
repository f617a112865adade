//! A plain HTTP/1.1 client on one kept connection, so that what is measured is the server.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use anyhow::{Context as _, ensure};

pub(crate) struct Http {
    stream: TcpStream,
    reader: BufReader<TcpStream>,
    head: String,
}

impl Http {
    /// To a port on loopback; `more` are header lines, each with its end.
    pub(crate) fn connect(port: u16, more: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            reader: BufReader::with_capacity(1 << 20, stream.try_clone()?),
            stream,
            head: format!("Host: 127.0.0.1:{port}\r\n{more}"),
        })
    }

    pub(crate) fn get(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        self.send(&format!("GET {path} HTTP/1.1\r\n{}\r\n", self.head), &[])
    }

    pub(crate) fn post(&mut self, path: &str, more: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\n{}{more}Content-Length: {length}\r\n\r\n",
            self.head
        );
        self.send(&head, body)
    }

    fn send(&mut self, head: &str, body: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.stream.write_all(head.as_bytes())?;
        self.stream.write_all(body)?;
        let mut line = String::new();
        self.reader.read_line(&mut line)?;
        let status: u16 = line.split(' ').nth(1).context("a status")?.parse()?;
        let (mut length, mut chunked) = (0, false);
        loop {
            let mut line = String::new();
            self.reader.read_line(&mut line)?;
            let line = line.trim().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse()?;
            }
            chunked |= line == "transfer-encoding: chunked";
        }
        let mut answer = Vec::new();
        if chunked {
            loop {
                let mut line = String::new();
                self.reader.read_line(&mut line)?;
                let size = usize::from_str_radix(line.trim(), 16)?;
                let before = answer.len();
                answer.resize(before + size + 2, 0);
                self.reader.read_exact(&mut answer[before..])?;
                answer.truncate(before + size);
                if size == 0 {
                    break;
                }
            }
        } else {
            answer.resize(length, 0);
            self.reader.read_exact(&mut answer)?;
        }
        ensure!(
            (200..300).contains(&status),
            "{status}: {}",
            String::from_utf8_lossy(&answer)
        );
        Ok(answer)
    }

    /// Median and greatest of `times`, ms, after three to warm up; and the bytes of the last answer.
    pub(crate) fn time(
        &mut self,
        times: usize,
        path: impl Fn(usize) -> String,
    ) -> anyhow::Result<(f64, f64, usize)> {
        let mut all = Vec::new();
        let mut bytes = 0;
        for at in 0..times + 3 {
            let path = path(at);
            let started = Instant::now();
            bytes = self.get(&path)?.len();
            if at >= 3 {
                all.push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        all.sort_by(f64::total_cmp);
        Ok((all[all.len() / 2], all[all.len() - 1], bytes))
    }
}

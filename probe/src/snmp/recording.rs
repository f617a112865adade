//! Devices that answer from a recording: for tests, and for trying a profile on what a device once said.

use std::{
    collections::{BTreeMap, HashMap},
    net::{Ipv4Addr, SocketAddr},
    ops::Bound,
    sync::Arc,
};

use farwatch_shared::oid::Oid;
use futures::future::BoxFuture;

use super::{
    Column, Cost, GetError, Limits, Plan, Reading, Rows, Snmp, Table, TablePlan, Target, Value,
    VarBind, Walk, WalkError,
};

/// One device as it was once recorded: a `.snmprec` file, a line `OID|TYPE|VALUE` for each value.
///
/// TYPE is the number of the ASN.1 type (2 INTEGER, 4 OCTET STRING, 5 NULL, 6 OID, 64 `IpAddress`, 65 Counter32,
/// 66 Gauge32, 67 `TimeTicks`, 68 Opaque, 70 Counter64), with `x` when VALUE is hex and `e` when it has backslash escapes.
/// Other text is ISO 8859-1.
#[derive(Debug, Clone, Default)]
pub struct Recording {
    values: BTreeMap<Oid, Value>,
}

/// A line of a recording that is not one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct RecordingError {
    /// From 1.
    pub line: usize,
    pub reason: &'static str,
}

impl Recording {
    /// Reads a whole file. Empty lines and lines that start with `#` are skipped; lines may end in CR LF.
    pub fn parse(file: &[u8]) -> Result<Self, RecordingError> {
        let mut values = BTreeMap::new();
        for (number, line) in file.split(|&octet| octet == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let (oid, value) = parse_line(line).map_err(|reason| RecordingError {
                line: number + 1,
                reason,
            })?;
            values.insert(oid, value);
        }
        Ok(Self { values })
    }

    /// Sets a value, as a test wants it.
    pub fn set(&mut self, oid: Oid, value: Value) {
        self.values.insert(oid, value);
    }

    pub fn remove(&mut self, oid: &Oid) -> Option<Value> {
        self.values.remove(oid)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All values, in the order of their OIDs.
    pub fn iter(&self) -> impl Iterator<Item = (&Oid, &Value)> {
        self.values.iter()
    }

    /// The value of an instance.
    #[must_use]
    pub fn value(&self, oid: &Oid) -> Option<&Value> {
        self.values.get(oid)
    }

    /// The first instance after `oid`.
    #[must_use]
    pub fn next(&self, oid: &Oid) -> Option<(&Oid, &Value)> {
        self.values
            .range((Bound::Excluded(oid), Bound::Unbounded))
            .next()
    }

    /// Everything under `root`, in order.
    pub fn under<'a>(&'a self, root: &'a Oid) -> impl Iterator<Item = VarBind> + 'a {
        let from_root = self.values.range((Bound::Included(root), Bound::Unbounded));
        from_root
            .take_while(|(oid, _)| oid.starts_with(root))
            .map(|(oid, value)| VarBind::new(oid.clone(), value.clone()))
    }

    fn get(&self, oids: &[Oid]) -> Vec<VarBind> {
        let answer = |oid: &Oid| match self.values.get(oid) {
            Some(value) => VarBind::new(oid.clone(), value.clone()),
            // a row of a column that has others, or nothing of the kind
            None => match oid
                .parent()
                .is_some_and(|object| self.under(&object).next().is_some())
            {
                true => VarBind::new(oid.clone(), Value::NoSuchInstance),
                false => VarBind::new(oid.clone(), Value::NoSuchObject),
            },
        };
        oids.iter().map(answer).collect()
    }

    fn get_next(&self, oids: &[Oid]) -> Vec<VarBind> {
        let answer = |oid: &Oid| match self.next(oid) {
            Some((next, value)) => VarBind::new(next.clone(), value.clone()),
            None => VarBind::new(oid.clone(), Value::EndOfMibView),
        };
        oids.iter().map(answer).collect()
    }

    fn read(&self, plan: &Plan) -> Reading {
        let table = |table: &TablePlan| {
            let columns = table.columns.iter().map(|column| {
                let mut cells: Vec<VarBind> = self.under(column).collect();
                if let Rows::Only(rows) = &table.rows {
                    cells.retain(|cell| {
                        cell.oid
                            .index_under(column)
                            .is_some_and(|row| rows.contains(&row))
                    });
                }
                Column {
                    oid: column.clone(),
                    cells,
                    numbers: Vec::new(),
                }
            });
            Table {
                columns: columns.collect(),
            }
        };
        let tables: Vec<Table> = plan.tables.iter().map(table).collect();
        let cells: usize = tables
            .iter()
            .flat_map(|table| &table.columns)
            .map(|column| column.cells.len())
            .sum();
        let varbinds = u32::try_from(cells + plan.scalars.len()).unwrap_or(u32::MAX);
        let cost = Cost {
            requests: 1,
            varbinds,
            ..Cost::default()
        };
        Reading {
            scalars: self.get(&plan.scalars),
            tables,
            cost,
            cut: None,
        }
    }

    fn walk(&self, root: &Oid) -> Walk {
        let varbinds: Vec<VarBind> = self.under(root).collect();
        let cost = Cost {
            requests: 1,
            varbinds: u32::try_from(varbinds.len()).unwrap_or(u32::MAX),
            ..Cost::default()
        };
        Walk {
            varbinds,
            cost,
            cut: None,
        }
    }
}

/// Recorded devices by their address. Who has none is silent, whatever the credential.
#[derive(Debug, Clone, Default)]
pub struct Recordings {
    devices: HashMap<SocketAddr, Arc<Recording>>,
}

impl Recordings {
    pub fn insert(&mut self, address: SocketAddr, device: Recording) {
        self.devices.insert(address, Arc::new(device));
    }

    pub fn remove(&mut self, address: SocketAddr) {
        self.devices.remove(&address);
    }

    fn device(&self, target: &Target, limits: Limits) -> Result<&Recording, GetError> {
        let silence = GetError::Timeout {
            target: target.address,
            attempts: limits.attempts,
            waited: limits.deadline,
        };
        self.devices
            .get(&target.address)
            .map(AsRef::as_ref)
            .ok_or(silence)
    }
}

impl FromIterator<(SocketAddr, Recording)> for Recordings {
    fn from_iter<I: IntoIterator<Item = (SocketAddr, Recording)>>(devices: I) -> Self {
        Self {
            devices: devices
                .into_iter()
                .map(|(address, device)| (address, Arc::new(device)))
                .collect(),
        }
    }
}

impl Snmp for Recordings {
    fn get<'a>(
        &'a self,
        target: &'a Target,
        oids: &'a [Oid],
        limits: Limits,
    ) -> BoxFuture<'a, Result<Vec<VarBind>, GetError>> {
        Box::pin(async move { Ok(self.device(target, limits)?.get(oids)) })
    }

    fn get_next<'a>(
        &'a self,
        target: &'a Target,
        oids: &'a [Oid],
        limits: Limits,
    ) -> BoxFuture<'a, Result<Vec<VarBind>, GetError>> {
        Box::pin(async move { Ok(self.device(target, limits)?.get_next(oids)) })
    }

    fn walk<'a>(
        &'a self,
        target: &'a Target,
        root: &'a Oid,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Walk, WalkError>> {
        Box::pin(async move { Ok(self.device(target, limits)?.walk(root)) })
    }

    fn read<'a>(
        &'a self,
        target: &'a Target,
        plan: &'a Plan,
        limits: Limits,
    ) -> BoxFuture<'a, Result<Reading, WalkError>> {
        Box::pin(async move { Ok(self.device(target, limits)?.read(plan)) })
    }

    fn check<'a>(
        &'a self,
        target: &'a Target,
        limits: Limits,
    ) -> BoxFuture<'a, Result<(), GetError>> {
        Box::pin(async move { self.device(target, limits).map(drop) })
    }

    fn forget(&self, _: SocketAddr) {}

    fn engine_id(&self, _: SocketAddr) -> Option<Arc<[u8]>> {
        None
    }
}

fn parse_line(line: &[u8]) -> Result<(Oid, Value), &'static str> {
    let mut parts = line.splitn(3, |&octet| octet == b'|');
    let mut part = || parts.next().ok_or("not OID|TYPE|VALUE");
    let (oid, tag, text) = (part()?, part()?, part()?);
    let oid = str::from_utf8(oid)
        .ok()
        .and_then(|oid| oid.parse().ok())
        .ok_or("not an OID")?;
    let (number, coding) = match tag.split_last() {
        Some((coding @ (b'x' | b'e'), number)) => (number, Some(*coding)),
        _ => (tag, None),
    };
    let octets = match coding {
        Some(b'x') => unhex(text).ok_or("not hex")?,
        Some(_) => unescape(text).ok_or("not an escape")?,
        None => text.to_vec(),
    };
    let number = str::from_utf8(number)
        .ok()
        .and_then(|number| number.parse::<u8>().ok())
        .ok_or("not a type")?;
    let value = value(number, octets, coding == Some(b'x')).ok_or("not a value of this type")?;
    Ok((oid, value))
}

fn value(tag: u8, octets: Vec<u8>, was_hex: bool) -> Option<Value> {
    let text = || str::from_utf8(&octets).ok().map(str::trim);
    Some(match tag {
        2 => Value::Integer(text()?.parse().ok()?),
        4 => Value::OctetString(octets.into()),
        5 => Value::Null,
        6 if text()?.is_empty() => Value::Oid(Oid::default()),
        6 => Value::Oid(text()?.parse().ok()?),
        64 => match <[u8; 4]>::try_from(octets.as_slice()) {
            Ok(address) if was_hex => Value::IpAddress(address.into()),
            _ => Value::IpAddress(text()?.parse::<Ipv4Addr>().ok()?),
        },
        65 => Value::Counter32(wrapped(text()?)?),
        66 => Value::Gauge32(wrapped(text()?)?),
        67 => Value::TimeTicks(wrapped(text()?)?),
        68 => opaque(octets),
        70 => Value::Counter64(text()?.parse().ok()?),
        _ => Value::Unsupported {
            tag,
            octets: octets.into(),
        },
    })
}

/// Some recordings hold the 32 bits as a signed number.
fn wrapped(text: &str) -> Option<u32> {
    let wide: i64 = text.parse().ok()?;
    u32::try_from(wide)
        .ok()
        .or_else(|| i32::try_from(wide).ok().map(i32::cast_unsigned))
}

fn opaque(octets: Vec<u8>) -> Value {
    match *octets {
        [0x9f, 0x78, 4, a, b, c, d] => Value::OpaqueFloat(f32::from_be_bytes([a, b, c, d])),
        [0x9f, 0x79, 8, a, b, c, d, e, f, g, h] => {
            Value::OpaqueDouble(f64::from_be_bytes([a, b, c, d, e, f, g, h]))
        }
        _ => Value::Opaque(octets.into()),
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.strip_prefix(b"0x").unwrap_or(text);
    let digit = |octet: u8| {
        char::from(octet)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, []) = text.as_chunks::<2>() else {
        return None;
    };
    pairs
        .iter()
        .map(|&[high, low]| Some(digit(high)? << 4 | digit(low)?))
        .collect()
}

fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet != b'\\' {
            octets.push(octet);
            continue;
        }
        let (&code, after) = rest.split_first()?;
        rest = after;
        octets.push(match code {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let (hex, after) = rest.split_at_checked(2)?;
                rest = after;
                unhex(hex)?[0]
            }
            other => other,
        });
    }
    Some(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(text: &str) -> Oid {
        text.parse().unwrap()
    }

    fn recording() -> Recording {
        let text = "1.3.6.1.2.1.1.1.0|4|Router, caf\u{e9} edition\r\n1.3.6.1.2.1.1.3.0|67|4294967295\n\
                    1.3.6.1.2.1.2.2.1.6.7|4x|001122aabbcc\n1.3.6.1.2.1.2.2.1.10.7|65|-1\n1.3.6.1.2.1.2.2.1.10.12|65|5\n\
                    1.3.6.1.2.1.4.20.1.1.10.0.0.1|64|10.0.0.1\n1.3.6.1.2.1.31.1.1.1.6.7|70|18446744073709551615\n\
                    1.3.6.1.4.1.2021.4.1|4e|a\\nb\\x7f\\\\\n1.3.6.1.4.1.2021.10.1.6.1|68x|9f78043f800000\n\n";
        let latin1: Vec<u8> = text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).unwrap())
            .collect();
        Recording::parse(&latin1).unwrap()
    }

    #[test]
    fn every_type_is_read() {
        let recording = recording();
        let value = |text: &str| recording.value(&oid(text)).unwrap().clone();
        assert_eq!(
            value("1.3.6.1.2.1.1.1.0"),
            Value::octets(b"Router, caf\xe9 edition")
        );
        assert_eq!(value("1.3.6.1.2.1.1.3.0"), Value::TimeTicks(u32::MAX));
        assert_eq!(
            value("1.3.6.1.2.1.2.2.1.6.7"),
            Value::octets([0, 0x11, 0x22, 0xaa, 0xbb, 0xcc])
        );
        assert_eq!(value("1.3.6.1.2.1.2.2.1.10.7"), Value::Counter32(u32::MAX));
        assert_eq!(
            value("1.3.6.1.2.1.4.20.1.1.10.0.0.1"),
            Value::IpAddress(Ipv4Addr::new(10, 0, 0, 1))
        );
        assert_eq!(
            value("1.3.6.1.2.1.31.1.1.1.6.7"),
            Value::Counter64(u64::MAX)
        );
        assert_eq!(value("1.3.6.1.4.1.2021.4.1"), Value::octets(b"a\nb\x7f\\"));
        assert_eq!(value("1.3.6.1.4.1.2021.10.1.6.1"), Value::OpaqueFloat(1.0));
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = Recording::parse(b"1.3.6|4|fine\n1.3.6.1|2|twelve").unwrap_err();
        assert_eq!(
            error,
            RecordingError {
                line: 2,
                reason: "not a value of this type"
            }
        );
        assert!(Recording::parse(b"nonsense").is_err());
    }

    #[tokio::test]
    async fn a_recorded_device_answers_as_a_device_does() {
        let address = "192.0.2.1:161".parse().unwrap();
        let site: Recordings = [(address, recording())].into_iter().collect();
        let snmp: &dyn Snmp = &site;
        let target = Target::new(address, super::super::Auth::v2c("public"));
        let limits = Limits::default();

        let asked = [
            oid("1.3.6.1.2.1.1.3.0"),
            oid("1.3.6.1.2.1.2.2.1.10.8"),
            oid("1.3.6.1.9.9.9.1"),
        ];
        let got = snmp.get(&target, &asked, limits).await.unwrap();
        assert_eq!(got[1].value, Value::NoSuchInstance);
        assert_eq!(got[2].value, Value::NoSuchObject);

        let walk = snmp
            .walk(&target, &oid("1.3.6.1.2.1.2"), limits)
            .await
            .unwrap();
        assert_eq!(walk.varbinds.len(), 3);

        let columns = vec![oid("1.3.6.1.2.1.2.2.1.6"), oid("1.3.6.1.2.1.2.2.1.10")];
        let plan = Plan {
            scalars: vec![],
            tables: vec![TablePlan {
                columns,
                rows: Rows::All,
            }],
        };
        let reading = snmp.read(&target, &plan, limits).await.unwrap();
        let rows = reading.tables[0].rows();
        assert_eq!(rows[&12.into()], [None, Some(&Value::Counter32(5))]);

        let stranger = Target::new(
            "192.0.2.2:161".parse().unwrap(),
            super::super::Auth::v2c("public"),
        );
        assert!(
            snmp.get(&stranger, &asked, limits)
                .await
                .unwrap_err()
                .is_silence()
        );
    }

    #[test]
    fn the_corpus_is_read_where_it_is_at_hand() {
        let beside = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/devices");
        let corpus = std::env::var_os("FARWATCH_DEVICES").map_or(beside, Into::into);
        let mut files = 0;
        let mut folders = vec![corpus];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path
                    .extension()
                    .is_some_and(|extension| extension == "snmprec")
                {
                    let recording = Recording::parse(&std::fs::read(&path).unwrap());
                    assert!(
                        !recording
                            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
                            .is_empty()
                    );
                    files += 1;
                }
            }
        }
        println!("{files} recordings read");
    }
}

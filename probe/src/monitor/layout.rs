//! Layouts: which columns a poll has, under a number that stays until they change.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use std::sync::Arc;

use farwatch_shared::model::{Column, DeviceNo, InstanceNo, Layout, LayoutNo, Metric, PollGroup};
use farwatch_shared::wire::columns::LayoutLookup;

use super::gauge::{self, Gauge};
use super::plan::{self, INTERFACE, Mask};
use crate::increase::ColumnSpec;

/// One interface as it is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Port {
    /// Who it is, whatever its index.
    pub instance: InstanceNo,
    /// Where it is today.
    pub if_index: u32,
    /// Which columns it has.
    pub mask: Mask,
    /// Bits a second; 0 = not known.
    pub speed_bps: u64,
}

/// What makes the columns of a layout.
#[derive(Clone, Debug)]
pub enum Columns {
    /// Of an echo request: nothing but the device.
    Ping,
    /// Of a poll: its ports.
    Poll(Arc<[Port]>),
    /// Of a reading.
    Readings(Arc<[Gauge]>),
}

impl Columns {
    /// Which poll that is.
    #[must_use]
    pub const fn group(&self) -> PollGroup {
        match self {
            Self::Ping => PollGroup::Ping,
            Self::Poll(_) => PollGroup::Poll,
            Self::Readings(_) => PollGroup::Readings,
        }
    }

    /// Whether they are the very same, which needs no look.
    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Ping, Self::Ping) => true,
            (Self::Poll(a), Self::Poll(b)) => Arc::ptr_eq(a, b),
            (Self::Readings(a), Self::Readings(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// Interfaces polled of one device at the most: a poll of them and their record fit into one batch each.
pub const PORTS_LIMIT: usize = 600;

/// What a poll of these ports reads, column by column: `sysUpTime` first, then port by port.
pub fn column_specs(ports: &[Port]) -> impl Iterator<Item = ColumnSpec> {
    let uptime = ColumnSpec {
        counter: None,
        line_rate: None,
        breaks: None,
    };
    let of_ports = ports.iter().zip(0_u32..).flat_map(|(port, breaks)| {
        plan::columns(port.mask).map(move |i| ColumnSpec {
            counter: INTERFACE[i].counter,
            line_rate: INTERFACE[i].line.rate(port.speed_bps),
            breaks: (port.mask & plan::HAS_DISCONTINUITY != 0).then_some(breaks),
        })
    });
    std::iter::once(uptime).chain(of_ports)
}

/// How many columns that makes.
#[must_use]
pub fn width(ports: &[Port]) -> usize {
    let of = |port: &Port| plan::columns(port.mask).count();
    1 + ports.iter().map(of).sum::<usize>()
}

/// Where the columns of `new` and its ports were in `old`: what `Counters::remapped` wants.
#[must_use]
pub fn remap(old: &[Port], new: &[Port]) -> (Vec<Option<u16>>, Vec<Option<u32>>) {
    let mut places = HashMap::new();
    let mut at = 1_u16;
    for port in old {
        for i in plan::columns(port.mask) {
            places.insert((port.instance, i), at);
            at += 1;
        }
    }
    let mut columns = vec![Some(0)];
    for port in new {
        columns.extend(plan::columns(port.mask).map(|i| places.get(&(port.instance, i)).copied()));
    }
    let ports = new
        .iter()
        .map(|port| {
            let at = old
                .iter()
                .position(|before| before.instance == port.instance)?;
            u32::try_from(at).ok()
        })
        .collect();
    (columns, ports)
}

/// A layout as it travels.
#[must_use]
pub fn describe(
    no: LayoutNo,
    device: DeviceNo,
    rhythm: Rhythm,
    columns: &Columns,
    slot_s: i64,
) -> Layout {
    let (metrics, places) = described(columns);
    Layout {
        no,
        device,
        group: columns.group().code(),
        interval_s: rhythm.interval_s,
        phase_s: rhythm.phase_s,
        valid_from_s: slot_s,
        metrics,
        columns: places,
    }
}

/// The layout's metrics and columns, for Central.
fn described(columns: &Columns) -> (Vec<Metric>, Vec<Column>) {
    let whole = |metric| Column {
        metric,
        instance: InstanceNo(0),
    };
    match columns {
        Columns::Ping => (plan::ping_metrics(), vec![whole(0), whole(1)]),
        Columns::Poll(ports) => {
            let of_ports = ports.iter().flat_map(|port| {
                plan::columns(port.mask).map(|i| Column {
                    metric: u16::try_from(i + 1).expect("a plan has a handful of columns"),
                    instance: port.instance,
                })
            });
            let places = std::iter::once(whole(0)).chain(of_ports).collect();
            (plan::poll_metrics(), places)
        }
        Columns::Readings(gauges) => gauge::described(gauges),
    }
}

/// When a layout's slots are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rhythm {
    /// Seconds between two slots.
    pub interval_s: u32,
    /// Slots fall where `unix seconds mod interval_s == phase_s`.
    pub phase_s: u32,
}

/// The layouts of the running epoch.
#[derive(Debug, Default)]
pub struct Layouts {
    last: u32,
    current: HashMap<(DeviceNo, PollGroup), Numbered>,
    /// One for all devices with the same columns: most devices of a site are of a few kinds.
    shapes: HashSet<Arc<Shape>>,
}

/// A layout that has its number.
#[derive(Debug)]
struct Numbered {
    no: LayoutNo,
    print: u64,
    rhythm: Rhythm,
    /// What `print` was made of: the same ones need no second look.
    columns: Columns,
    shape: Arc<Shape>,
}

/// What of a layout says how its values are encoded.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Shape(Layout);

impl Shape {
    fn of(layout: &Layout) -> Self {
        Self(Layout {
            no: LayoutNo(0),
            device: DeviceNo(0),
            phase_s: 0,
            valid_from_s: 0,
            ..layout.clone()
        })
    }
}

/// The shapes of the layouts that a batch names.
#[derive(Clone, Debug, Default)]
pub struct Shapes(HashMap<LayoutNo, Arc<Shape>>);

impl LayoutLookup for Shapes {
    /// Its metrics and columns; number, device and phase are nobody's.
    fn layout(&self, no: LayoutNo) -> Option<&Layout> {
        self.0.get(&no).map(|shape| &shape.0)
    }
}

impl Shapes {
    /// Adds one.
    pub fn insert(&mut self, no: LayoutNo, shape: Arc<Shape>) {
        self.0.insert(no, shape);
    }
}

impl Layouts {
    /// The number of the layout with these columns and this rhythm; with the layout itself when it is new.
    ///
    /// It is numbered anew only when columns or rhythm change: a speed or an `ifIndex` changes nothing.
    pub fn ensure(
        &mut self,
        device: DeviceNo,
        rhythm: Rhythm,
        columns: &Columns,
        slot_s: i64,
    ) -> (LayoutNo, Arc<Shape>, Option<Layout>) {
        let key = (device, columns.group());
        let known = self.current.get_mut(&key);
        if let Some(known) = &known
            && known.rhythm == rhythm
            && known.columns.is(columns)
        {
            return (known.no, known.shape.clone(), None);
        }
        let print = fingerprint(rhythm, columns);
        if let Some(known) = known
            && known.print == print
        {
            known.columns = columns.clone();
            return (known.no, known.shape.clone(), None);
        }
        self.last += 1;
        let no = LayoutNo(self.last);
        let layout = describe(no, device, rhythm, columns, slot_s);
        let shape = self.shape(Shape::of(&layout));
        self.current.insert(
            key,
            Numbered {
                no,
                print,
                rhythm,
                columns: columns.clone(),
                shape: shape.clone(),
            },
        );
        (no, shape, Some(layout))
    }

    fn shape(&mut self, shape: Shape) -> Arc<Shape> {
        if let Some(known) = self.shapes.get(&shape) {
            return known.clone();
        }
        // Those of layouts that are gone go when there is a new one.
        self.shapes.retain(|shape| Arc::strong_count(shape) > 1);
        let shape = Arc::new(shape);
        self.shapes.insert(shape.clone());
        shape
    }

    /// The number of a device's layout at present.
    #[must_use]
    pub fn current(&self, device: DeviceNo, group: PollGroup) -> Option<LayoutNo> {
        Some(self.current.get(&(device, group))?.no)
    }

    /// The device is not watched any more, or not in this way.
    pub fn forget(&mut self, device: DeviceNo, group: PollGroup) {
        self.current.remove(&(device, group));
    }

    /// These could not be told: they are numbered anew when they are next used.
    pub fn untold(&mut self, layouts: &[LayoutNo]) {
        self.current.retain(|_, known| !layouts.contains(&known.no));
    }

    /// A new epoch, or a clock that was set back: every layout is numbered anew when it is next used.
    pub fn renumber(&mut self) {
        self.current.clear();
    }
}

fn fingerprint(rhythm: Rhythm, columns: &Columns) -> u64 {
    let mut hasher = DefaultHasher::new();
    rhythm.hash(&mut hasher);
    match columns {
        Columns::Ping => {}
        Columns::Poll(ports) => {
            for port in &**ports {
                (port.instance, port.mask & !plan::HAS_DISCONTINUITY).hash(&mut hasher);
            }
        }
        Columns::Readings(gauges) => gauges.hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(instance: u32, mask: Mask) -> Port {
        Port {
            instance: InstanceNo(instance),
            if_index: instance + 100,
            mask,
            speed_bps: 1_000_000_000,
        }
    }

    const EVERY_MINUTE: Rhythm = Rhythm {
        interval_s: 60,
        phase_s: 7,
    };

    #[test]
    fn a_number_stays_until_the_columns_change() {
        let mut layouts = Layouts::default();
        let mut ensure = |ports: &[Port], rhythm, slot| {
            let ports = Columns::Poll(ports.into());
            let (no, _, new) = layouts.ensure(DeviceNo(1), rhythm, &ports, slot);
            (no.0, new.map(|layout| layout.columns.len()))
        };
        let ports = [port(1, 0b11), port(2, 0b1)];
        assert_eq!(ensure(&ports, EVERY_MINUTE, 7), (1, Some(4)));
        assert_eq!(ensure(&ports, EVERY_MINUTE, 67), (1, None));
        let moved = ports.map(|port| Port {
            if_index: port.if_index + 9,
            speed_bps: 10,
            ..port
        });
        assert_eq!(
            ensure(&moved, EVERY_MINUTE, 127),
            (1, None),
            "an index is no identity"
        );
        assert_eq!(ensure(&ports[..1], EVERY_MINUTE, 187), (2, Some(3)));
        let slower = Rhythm {
            interval_s: 300,
            phase_s: 7,
        };
        assert_eq!(ensure(&ports[..1], slower, 307), (3, Some(3)));
        layouts.renumber();
        assert_eq!(
            layouts
                .ensure(DeviceNo(1), slower, &Columns::Poll(ports[..1].into()), 607)
                .0
                .0,
            4
        );
    }

    #[test]
    fn devices_of_a_kind_share_what_their_values_look_like() {
        let mut layouts = Layouts::default();
        let mut ensure = |device, ports: &[Port]| {
            let ports = Columns::Poll(ports.into());
            layouts.ensure(DeviceNo(device), EVERY_MINUTE, &ports, 7).1
        };
        let one = ensure(1, &[port(1, 0b11), port(2, 0b1)]);
        let moved = Port {
            if_index: 9,
            ..port(2, 0b1)
        };
        assert!(Arc::ptr_eq(&one, &ensure(2, &[port(1, 0b11), moved])));
        assert!(!Arc::ptr_eq(&one, &ensure(3, &[port(1, 0b11)])));
    }

    #[test]
    fn columns_and_specs_are_in_one_order() {
        let ports = [port(4, 0b11_0000), port(9, plan::HAS_DISCONTINUITY | 0b1)];
        let columns = described(&Columns::Poll(ports.as_slice().into())).1;
        let specs: Vec<_> = column_specs(&ports).collect();
        assert_eq!(specs.len(), width(&ports));
        assert_eq!(columns.len(), specs.len());
        let metrics = plan::poll_metrics();
        let words: Vec<_> = columns
            .iter()
            .zip(&specs)
            .map(|(column, spec)| {
                (
                    metrics[usize::from(column.metric)].name.as_str(),
                    column.instance.0,
                    spec.counter.map(crate::increase::Width::bits),
                    spec.breaks,
                )
            })
            .collect();
        assert_eq!(
            words,
            vec![
                ("sysUpTime", 0, None, None),
                ("ifInOctets", 4, Some(32), None),
                ("ifOutOctets", 4, Some(32), None),
                ("ifHCInOctets", 9, Some(64), Some(1)),
            ]
        );
    }

    #[test]
    fn counters_find_their_old_places() {
        let old = [port(1, 0b11), port(2, 0b11)];
        let new = [port(2, 0b101), port(3, 0b1)];
        let (columns, ports) = remap(&old, &new);
        assert_eq!(columns, vec![Some(0), Some(3), None, None]);
        assert_eq!(ports, vec![Some(1), None]);
    }
}

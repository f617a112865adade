use super::*;
use crate::clock::Timestamp;
use crate::model::{Anchor, Column, DeviceNo, GapRun, InstanceNo, Metric, ProbeGap};

/// The same numbers for the same seed, for ever.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).unwrap()
    }

    fn narrow<T: TryFrom<u64>>(&mut self, n: u64) -> T {
        T::try_from(self.below(n)).ok().unwrap()
    }
}

fn metric(name: &str, kind: u8) -> Metric {
    Metric {
        name: name.to_owned(),
        kind,
        scale: 0,
        width: if kind == 0 { 64 } else { 0 },
        unit: String::new(),
    }
}

fn some_layouts(seeded: &mut Seeded, many: u32) -> HashMap<LayoutNo, Layout> {
    (1..=many)
        .map(|no| {
            let instances = seeded.narrow::<u32>(6);
            let metrics = vec![
                metric("ifHCInOctets", 0),
                metric("ifOperStatus", 2),
                metric("sysUpTime", 1),
            ];
            let mut columns = vec![Column {
                metric: 2,
                instance: InstanceNo(0),
            }];
            for instance in 0..instances {
                for metric in 0..2 {
                    columns.push(Column {
                        metric,
                        instance: InstanceNo(instance),
                    });
                }
            }
            let layout = Layout {
                no: LayoutNo(no * 3),
                device: DeviceNo(no),
                group: 1,
                interval_s: 60,
                phase_s: no % 60,
                valid_from_s: 0,
                metrics,
                columns,
            };
            (layout.no, layout)
        })
        .collect()
}

fn some_batch(seeded: &mut Seeded, layouts: &HashMap<LayoutNo, Layout>) -> SampleBatch {
    let mut numbers: Vec<LayoutNo> = layouts.keys().copied().collect();
    numbers.sort();
    let mut batch = SampleBatch::default();
    for _ in 0..seeded.below(60) {
        let layout = numbers[seeded.index(numbers.len())];
        let wide = layouts[&layout].columns.len();
        let holes = seeded.below(4) == 0;
        let values = (0..wide)
            .map(|_| {
                let shift = seeded.below(64);
                let value = (seeded.next() >> shift).cast_signed();
                (!holes || seeded.below(3) > 0).then_some(value)
            })
            .collect();
        let spans = if seeded.below(8) == 0 {
            vec![(seeded.narrow(wide as u64), seeded.narrow(1 << 32))]
        } else {
            Vec::new()
        };
        batch.scrapes.push(Scrape {
            layout,
            slot_s: 1_700_000_000 + i64::try_from(seeded.below(300)).unwrap(),
            offset_ms: seeded.narrow::<i32>(500) - 20,
            span_ms: if seeded.below(3) == 0 {
                0
            } else {
                seeded.narrow(1 << 32)
            },
            values,
            spans,
        });
    }
    for _ in 0..seeded.below(5) {
        batch.anchors.push(Anchor {
            layout: numbers[seeded.index(numbers.len())],
            column: seeded.narrow(1 << 16),
            kind: seeded.narrow(3),
            slot_s: seeded.next().cast_signed(),
            raw: seeded.next(),
        });
        batch.gaps.push(GapRun {
            layout: LayoutNo(seeded.narrow(50)),
            first_slot_s: seeded.next().cast_signed(),
            slots: seeded.narrow(1 << 32),
            reason: seeded.narrow(256),
            columns: vec![7; seeded.index(4)],
        });
        batch.probe_gaps.push(ProbeGap {
            from: Timestamp(seeded.next().cast_signed()),
            to: Timestamp(seeded.next().cast_signed()),
            reason: 1,
        });
    }
    batch
}

#[test]
fn a_batch_reads_back_as_it_was() {
    let mut seeded = Seeded(1);
    for _ in 0..2_000 {
        let many = seeded.narrow::<u32>(9) + 1;
        let layouts = some_layouts(&mut seeded, many);
        let batch = some_batch(&mut seeded, &layouts);
        let body = encode(&batch, &layouts).unwrap();
        assert_eq!(decode(&body, &layouts).unwrap(), batch);
        let outline = outline(&body).unwrap();
        assert_eq!(
            (&outline.anchors, &outline.gaps, &outline.probe_gaps),
            (&batch.anchors, &batch.gaps, &batch.probe_gaps)
        );
    }
}

#[test]
fn without_a_layout_the_body_names_it_and_gives_gaps_and_anchors() {
    let mut seeded = Seeded(7);
    let mut layouts = some_layouts(&mut seeded, 3);
    let mut batch = some_batch(&mut seeded, &layouts);
    batch.scrapes[0].layout = LayoutNo(9);
    batch.scrapes[0].values = vec![Some(1); layouts[&LayoutNo(9)].columns.len()];
    batch.scrapes[0].spans.clear();
    let body = encode(&batch, &layouts).unwrap();
    layouts.remove(&LayoutNo(9));
    assert!(decode(&body, &layouts).is_err());
    assert!(layouts_named(&body).unwrap().contains(&LayoutNo(9)));
    assert_eq!(outline(&body).unwrap().anchors, batch.anchors);
}

#[test]
fn a_body_of_another_layout_than_the_known_one_is_refused() {
    let mut seeded = Seeded(3);
    let mut layouts = some_layouts(&mut seeded, 1);
    let mut batch = SampleBatch::default();
    let wide = layouts[&LayoutNo(3)].columns.len();
    batch.scrapes.push(Scrape {
        layout: LayoutNo(3),
        slot_s: 60,
        offset_ms: 0,
        span_ms: 0,
        values: vec![Some(1); wide],
        spans: Vec::new(),
    });
    let body = encode(&batch, &layouts).unwrap();
    layouts.get_mut(&LayoutNo(3)).unwrap().columns.pop();
    assert!(decode(&body, &layouts).is_err());
    assert_eq!(
        encode(&batch, &layouts),
        Err(EncodeError::Columns(LayoutNo(3)))
    );
}

#[test]
fn what_shrinks_too_well_is_written_so_that_it_is_still_accepted() {
    let columns = (0..60_000)
        .map(|instance| Column {
            metric: 0,
            instance: InstanceNo(instance),
        })
        .collect();
    let layout = Layout {
        no: LayoutNo(1),
        device: DeviceNo(1),
        group: 1,
        interval_s: 60,
        phase_s: 0,
        valid_from_s: 0,
        metrics: vec![metric("ifInErrors", 0)],
        columns,
    };
    let layouts = HashMap::from([(layout.no, layout)]);
    let scrape = Scrape {
        layout: LayoutNo(1),
        slot_s: 0,
        offset_ms: 0,
        span_ms: 60_000,
        values: vec![Some(0); 60_000],
        spans: Vec::new(),
    };
    let batch = SampleBatch {
        scrapes: vec![scrape; 3],
        ..SampleBatch::default()
    };
    let body = encode(&batch, &layouts).unwrap();
    assert_eq!(decode(&body, &layouts).unwrap(), batch);
    let too_many = SampleBatch {
        scrapes: vec![batch.scrapes[0].clone(); 9],
        ..SampleBatch::default()
    };
    assert_eq!(
        encode(&too_many, &layouts),
        Err(EncodeError::TooMany(540_112))
    );
}

#[test]
fn a_body_that_claims_much_is_refused_before_anything_is_reserved() {
    let layouts = HashMap::<LayoutNo, Layout>::new();
    let mut claims = Buffers::default();
    put(1, &mut claims.text);
    put(1, &mut claims.text);
    put(65_535, &mut claims.text);
    put(u64::MAX >> 20, &mut claims.text);
    let mut body = vec![STORED];
    put(claims.text.len() as u64, &mut body);
    body.extend_from_slice(&claims.text);
    assert!(matches!(decode(&body, &layouts), Err(DecodeError::Inflate)));

    let bomb = pool::compress(&vec![0; 4 << 20]).unwrap();
    let mut body = vec![ZSTD];
    put(4 << 20, &mut body);
    put(bomb.len() as u64, &mut body);
    body.extend_from_slice(&bomb);
    assert!(matches!(decode(&body, &layouts), Err(DecodeError::Inflate)));
}

/// What a mutation loop found: a head that says "no columns" of a layout that has some, and scrapes of it. It brought the
/// session's task down that read it.
#[test]
fn scrapes_of_a_layout_that_is_said_to_have_no_columns_are_refused() {
    let layouts = crate::fuzz::samples::layouts();
    let body = data_encoding::HEXLOWER
        .decode(b"0025020300fd91f401000201000201f8c49fd50c7801030101c1a90701000000000000beb8b007")
        .unwrap();
    assert!(outline(&body).is_ok());
    assert!(matches!(
        decode(&body, &layouts),
        Err(DecodeError::Inconsistent("another count of columns"))
    ));
}

/// Polls, gaps and layouts take memory without holding a value: they count as well.
#[test]
fn a_short_body_cannot_ask_for_much_memory_by_what_holds_no_values() {
    let of = |text: &[u8]| {
        let small = pool::compress(text).unwrap();
        let mut body = vec![ZSTD];
        put(text.len() as u64, &mut body);
        put(small.len() as u64, &mut body);
        body.extend_from_slice(&small);
        outline(&body)
    };
    // One layout of no columns, and so many polls of it.
    let polls = |count: u64| {
        let mut text = vec![1, 9, 0];
        put(count, &mut text);
        text.extend_from_slice(&[0; 8]);
        text.extend_from_slice(&[0; 5]);
        text
    };
    assert_eq!(of(&polls(5_000)).unwrap().scrapes.len(), 5_000);
    assert!(matches!(of(&polls(6_000)), Err(DecodeError::Inflate)));
    // No layout, no poll, no anchor, no gap of a layout; gaps of the probe, eight times as
    // long in memory as here.
    let gaps = |count: usize| {
        let mut text = vec![0, 0, 0, 0, 0, 0];
        put(count as u64, &mut text);
        text.extend_from_slice(&vec![0; 3 * count]);
        text
    };
    let inside_the_longest_body = |text: &[u8]| {
        let mut from = Sources { text, packed: &[] };
        Outline::read(&mut from, crate::wire::codec::BATCH_BYTES)
    };
    let most = inside_the_longest_body(&gaps(262_000)).unwrap();
    assert_eq!(most.probe_gaps.len(), 262_000);
    assert!(matches!(
        inside_the_longest_body(&gaps(263_000)),
        Err(DecodeError::Inflate)
    ));
}

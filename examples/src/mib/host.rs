//! What only some kinds have: a server's processors and disks, a UPS's battery, a printer's toner
//! (RFC 2790, RFC 1628, RFC 3805).

use super::{Cell, Mib, mib2};
use crate::cabling::Wired;
use crate::kind::Kind;
use crate::oid::Oid;
use crate::traffic::mix;
use crate::value::Value;

pub(super) fn fill(mib: &mut Mib, device: &Wired) {
    match device.spec.kind {
        Kind::LinuxServer | Kind::Nas => fill_host(mib, device),
        Kind::Ups => fill_ups(mib, device),
        Kind::Printer => fill_printer(mib, device, &["Black Cartridge"]),
        Kind::ColourPrinter => fill_printer(
            mib,
            device,
            &[
                "Toner (Black)",
                "Toner (Cyan)",
                "Toner (Magenta)",
                "Toner (Yellow)",
            ],
        ),
        _ => {}
    }
}

fn fill_host(mib: &mut Mib, device: &Wired) {
    let host: &[u32] = mib2![25];
    let own = mix(u64::from(u32::from(device.address)));
    let wave = |middle: f64, swing: f64, period_s: f64, gauge: bool| Cell::Wave {
        middle,
        swing,
        period_s,
        gauge,
    };
    mib.rule(host, &[1, 1, 0], Cell::UpTime);
    mib.rule(host, &[1, 5, 0], wave(3.0, 2.0, 1800.0, true));
    mib.rule(host, &[1, 6, 0], wave(220.0, 15.0, 900.0, true));
    mib.fixed(host, &[2, 2, 0], Value::Integer(MEMORY_KIB));
    let storage = [
        (1, 2, "Physical memory", 1024, MEMORY_KIB, 0.6),
        (31, 4, "/", 4096, 25_000_000, 0.3),
        (
            32,
            4,
            if device.spec.kind == Kind::Nas {
                "/volume1"
            } else {
                "/srv"
            },
            4096,
            480_000_000,
            0.8,
        ),
    ];
    for (index, kind, name, unit, size, used) in storage {
        #[expect(clippy::cast_precision_loss, reason = "a few hundred million")]
        let middle = size as f64 * used;
        mib.fixed(host, &[2, 3, 1, 1, index], Value::Integer(i64::from(index)));
        mib.fixed(
            host,
            &[2, 3, 1, 2, index],
            Value::Oid(Oid::from([1, 3, 6, 1, 2, 1, 25, 2, 1, kind])),
        );
        mib.fixed(host, &[2, 3, 1, 3, index], Value::text(name));
        mib.fixed(host, &[2, 3, 1, 4, index], Value::Integer(unit));
        mib.fixed(host, &[2, 3, 1, 5, index], Value::Integer(size));
        mib.rule(
            host,
            &[2, 3, 1, 6, index],
            wave(middle, middle * 0.05, 7200.0, false),
        );
    }
    for processor in 0..4 {
        let index = 196_608 + processor;
        let middle =
            f64::from(u32::try_from((own >> (8 * processor)) % 50).expect("below fifty")) + 10.0;
        mib.fixed(
            host,
            &[3, 2, 1, 2, index],
            Value::Oid(Oid::from([1, 3, 6, 1, 2, 1, 25, 3, 1, 3])),
        );
        mib.fixed(
            host,
            &[3, 2, 1, 3, index],
            Value::text("GenuineIntel: Intel(R) Xeon(R) Silver 4310 CPU @ 2.10GHz"),
        );
        mib.rule(
            host,
            &[3, 3, 1, 2, index],
            wave(middle, 9.0, 300.0 + f64::from(processor) * 70.0, false),
        );
    }
}

fn fill_ups(mib: &mut Mib, device: &Wired) {
    let ups: &[u32] = mib2![33, 1];
    let facts = device.spec.kind.facts();
    mib.fixed(
        ups,
        &[1, 1, 0],
        Value::text("American Power Conversion Corp."),
    );
    mib.fixed(ups, &[1, 2, 0], Value::text(facts.model));
    mib.fixed(ups, &[1, 3, 0], Value::text("UPS 08.8 (ID20)"));
    mib.fixed(ups, &[1, 4, 0], Value::text(facts.software));
    mib.fixed(ups, &[1, 5, 0], Value::text(&device.spec.name));
    mib.fixed(ups, &[2, 1, 0], Value::Integer(2));
    mib.fixed(ups, &[2, 2, 0], Value::Integer(0));
    mib.rule(
        ups,
        &[2, 3, 0],
        Cell::Wave {
            middle: 42.0,
            swing: 6.0,
            period_s: 1200.0,
            gauge: false,
        },
    );
    mib.fixed(ups, &[2, 4, 0], Value::Integer(100));
    mib.rule(
        ups,
        &[2, 5, 0],
        Cell::Wave {
            middle: 273.0,
            swing: 3.0,
            period_s: 400.0,
            gauge: false,
        },
    );
    mib.rule(
        ups,
        &[2, 7, 0],
        Cell::Wave {
            middle: 27.0,
            swing: 2.0,
            period_s: 5400.0,
            gauge: false,
        },
    );
    mib.fixed(ups, &[3, 2, 0], Value::Integer(1));
    mib.fixed(ups, &[3, 3, 1, 2, 1], Value::Integer(500));
    mib.rule(
        ups,
        &[3, 3, 1, 3, 1],
        Cell::Wave {
            middle: 231.0,
            swing: 4.0,
            period_s: 700.0,
            gauge: false,
        },
    );
    mib.fixed(ups, &[4, 1, 0], Value::Integer(3));
    mib.fixed(ups, &[4, 3, 0], Value::Integer(1));
    mib.rule(
        ups,
        &[4, 4, 1, 2, 1],
        Cell::Wave {
            middle: 230.0,
            swing: 1.0,
            period_s: 500.0,
            gauge: false,
        },
    );
    mib.rule(
        ups,
        &[4, 4, 1, 5, 1],
        Cell::Wave {
            middle: 38.0,
            swing: 9.0,
            period_s: 900.0,
            gauge: false,
        },
    );
}

fn fill_printer(mib: &mut Mib, device: &Wired, supplies: &[&str]) {
    let facts = device.spec.kind.facts();
    let printer: &[u32] = mib2![43];
    mib.fixed(
        mib2![25, 3, 2, 1],
        &[2, 1],
        Value::Oid(Oid::from([1, 3, 6, 1, 2, 1, 25, 3, 1, 5])),
    );
    mib.fixed(
        mib2![25, 3, 2, 1],
        &[3, 1],
        Value::text(format!("{} {}", facts.vendor, facts.model)),
    );
    mib.fixed(mib2![25, 3, 5, 1], &[1, 1], Value::Integer(3));
    mib.fixed(printer, &[5, 1, 1, 17, 1], Value::text(&device.serial));
    mib.fixed(printer, &[10, 2, 1, 4, 1, 1], Value::Counter32(48_113));
    for (place, name) in (1..).zip(supplies) {
        let at = |column: u32| [11, 1, 1, column, 1, place];
        mib.fixed(printer, &at(6), Value::text(name));
        mib.fixed(printer, &at(8), Value::Integer(100));
        mib.rule(
            printer,
            &at(9),
            Cell::Wave {
                middle: 55.0 - f64::from(place) * 8.0,
                swing: 4.0,
                period_s: 86_400.0,
                gauge: false,
            },
        );
    }
}

const MEMORY_KIB: i64 = 32_768_000;

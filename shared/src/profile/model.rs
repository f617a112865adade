//! What a profile says, checked: which devices, who they are, and what is worth reading from them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::pattern::Pattern;
use crate::oid::Oid;

/// Everything a profile says, with what it takes from its parts.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Its file's name.
    pub name: Arc<str>,
    /// It gives way to profiles that know more.
    pub generic: bool,
    /// Generic profiles whose sensors, storage and processors it has itself, and better.
    pub instead_of: Vec<String>,
    /// Sources of each fact, in order of trust.
    pub facts: BTreeMap<Fact, Vec<Source>>,
    /// Temperatures, phases, states, supplies, …
    pub sensors: Vec<Arc<SensorRows>>,
    /// Disks and memory.
    pub storage: Vec<Arc<StorageRows>>,
    /// Processors.
    pub processors: Vec<Arc<ProcessorRows>>,
    /// Everything else, by the names of its MIB.
    pub metrics: Vec<Arc<MetricRows>>,
    /// What its devices cannot bear.
    pub quirks: Quirks,
}

/// A fact about a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// Who makes it, as people say it.
    Vendor,
    /// What it is for.
    Role,
    /// What runs on it.
    Os,
    /// Which version of that.
    OsVersion,
    /// As it stands on the box.
    Model,
    /// Of the chassis.
    Serial,
    /// Where `sysName` is empty.
    Name,
    /// Where `sysLocation` is empty.
    Location,
}

/// Where a fact comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// It is so for every device of this profile.
    Fixed(Box<str>),
    /// A value of the device.
    Read(Box<Symbol>),
    /// Several values in one text; all must be there.
    Joined {
        /// With the symbols' names.
        template: Template,
        /// What it names.
        parts: Vec<Symbol>,
    },
}

/// A value that becomes a fact.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// A scalar's instance, or a column.
    pub object: Object,
    /// Which rows, where it is a column.
    pub rows: Choice,
    /// Other columns, for the conditions.
    pub columns: Vec<Column>,
    /// All must hold.
    pub conditions: Vec<Condition>,
}

/// Which rows of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It is no column.
    Scalar,
    /// The first that gives a value.
    First,
    /// All, joined by commas, each text once.
    All,
}

/// A named object and how its value becomes text.
#[derive(Clone, Debug)]
pub struct Object {
    /// A scalar's instance, or a column.
    pub oid: Oid,
    /// The MIB's symbol.
    pub name: Box<str>,
    /// How the value is read.
    pub format: Option<Format>,
    /// What of the text counts.
    pub extract: Option<Pattern>,
    /// What the text has to look like, and what becomes of it.
    pub rewrite: Option<(Pattern, Box<str>)>,
    /// Words for values.
    pub mapping: Option<Mapping<Box<str>>>,
}

/// How octets become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Four or sixteen octets.
    IpAddress,
    /// A signed number that is meant without its sign.
    Uint32,
    /// Lower-case digits without separators.
    Hex,
    /// As it stands.
    TextDate,
    /// Six octets, or their text.
    MacAddress,
    /// `DateAndTime` of SNMPv2-TC, as ISO 8601.
    DateAndTime,
}

/// Words for numbers (or texts).
#[derive(Clone, Debug)]
pub struct Mapping<T> {
    pub(super) words: BTreeMap<Box<str>, T>,
    /// The keys are bits, and several may be set.
    pub(super) bits: bool,
}

impl<T> Mapping<T> {
    /// What stands for a text: the same text, or the same number.
    #[must_use]
    pub fn get(&self, text: &str) -> Option<&T> {
        self.words.get(text).or_else(|| {
            let number: f64 = text.parse().ok()?;
            self.words.get(super::number_text(number).as_str())
        })
    }

    /// All words.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.words.values()
    }
}

impl Mapping<Box<str>> {
    /// The word for a text; of bits, all that are set.
    #[must_use]
    pub fn word(&self, text: &str) -> Option<String> {
        if !self.bits {
            return self.get(text).map(|word| word.to_string());
        }
        let set: u64 = text.parse().ok()?;
        let words: Vec<&str> = self
            .words
            .iter()
            .filter(|(bit, _)| bit.parse::<u64>().is_ok_and(|bit| set & bit != 0))
            .map(|(_, word)| &**word)
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// A column beside the values of a row.
#[derive(Clone, Debug)]
pub struct Column {
    /// What it is; its mapping changes only what is shown.
    pub object: Object,
    /// Where its cell is.
    pub place: Place,
}

/// Where the cell of a column is, seen from a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Under the row's own index.
    SameRow,
    /// It is a scalar, the same for all rows.
    Scalar,
    /// Under the index that another column names.
    Via(Box<str>),
    /// Under parts of the row's index.
    Parts(Vec<Part>),
}

/// Part of an index: its first and its last arc, from 0; without a last one to the end.
pub type Part = (usize, Option<usize>);

/// What has to hold of a row.
#[derive(Clone, Debug)]
pub struct Condition {
    /// A column, `index`, `index.1`, another value; `None`: the value itself.
    pub on: Option<Box<str>>,
    /// All must hold.
    pub tests: Vec<Test>,
}

/// One test of a value.
#[derive(Clone, Debug)]
pub enum Test {
    /// One of these.
    Equals(Vec<Box<str>>),
    /// None of these; a missing value passes.
    Not(Vec<Box<str>>),
    /// One of these occurs in it.
    Matches(Vec<Pattern>),
    /// A number above.
    Above(f64),
    /// A number below.
    Below(f64),
}

/// A text with names in braces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(pub(super) Vec<Piece>);

impl Template {
    /// The text, with what `name` says for each name.
    pub fn fill<'t>(&'t self, mut name: impl FnMut(&str) -> Cow<'t, str>) -> String {
        self.0
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => Cow::Borrowed(&**text),
                Piece::Name(of) => name(of),
            })
            .collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Box<str>),
    Name(Box<str>),
}

/// A word, or one that a column says.
#[derive(Clone, Debug)]
pub enum Pick<T> {
    /// Always this.
    Word(T),
    /// By a column's value.
    Column {
        /// Which column.
        column: Box<str>,
        /// What its values mean; a row whose value is not among them has none.
        mapping: Mapping<T>,
        /// What stands for a value that is not among them.
        default: Option<T>,
    },
    /// The column's own text.
    Text(Box<str>),
}

/// What sensors, storage, processors have in common: rows, and how each is called.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The file it stands in.
    pub file: Arc<str>,
    /// Rows of a table, or scalars.
    pub is_table: bool,
    /// Columns beside the values.
    pub columns: Vec<Column>,
    /// All must hold for a row to count.
    pub conditions: Vec<Condition>,
    /// The first one without gaps is the name.
    pub names: Vec<Template>,
    /// How often it is read, where not as often as everything.
    pub every: Option<Duration>,
}

/// Sensors of one table, or some scalars.
#[derive(Clone, Debug)]
pub struct SensorRows {
    /// Rows and names.
    pub rows: Rows,
    /// What each row has.
    pub values: Vec<SensorValue>,
    /// Names of those rows that would otherwise have the same one.
    pub same_name: Vec<Template>,
    /// How each row is.
    pub status: Option<StatusOf>,
}

/// A sensor's value.
#[derive(Clone, Debug)]
pub struct SensorValue {
    /// Its object; without mapping.
    pub object: Object,
    /// What it measures.
    pub kind: Pick<SensorKind>,
    /// What the values of a state mean.
    pub words: Option<Mapping<State>>,
    /// Appended to the name where a row has several of a kind.
    pub label: Vec<Template>,
    /// The rows declare another object of this kind.
    pub is_one_of_several: bool,
    /// Multiplied with.
    pub scale: f64,
    /// Powers of ten.
    pub exponents: Vec<Exponent>,
    /// Divided by a column, times a number.
    pub divide: Option<(Box<str>, f64)>,
    /// From the device's unit to people's.
    pub convert: Option<Pick<Conversion>>,
    /// Another unit than the kind's.
    pub unit: Option<Pick<Box<str>>>,
    /// All must hold.
    pub conditions: Vec<Condition>,
    /// How it is, where it has a status of its own.
    pub status: Option<StatusOf>,
}

/// A power of ten that the device tells.
#[derive(Clone, Debug)]
pub struct Exponent {
    /// Which column.
    pub column: Box<str>,
    /// It counts decimals.
    pub negate: bool,
    /// What its values mean.
    pub mapping: Option<Mapping<i32>>,
    /// What stands for a value that is missing or not among them.
    pub default: Option<i32>,
}

/// Where the status of a row is read.
#[derive(Clone, Debug)]
pub struct StatusOf {
    /// A listed column's name, or an object of the row.
    pub from: StatusFrom,
    /// What its values mean.
    pub mapping: Mapping<State>,
}

/// Where a status is read.
#[derive(Clone, Debug)]
pub enum StatusFrom {
    /// A listed column.
    Column(Box<str>),
    /// An object with the row's index.
    Object(Oid),
}

/// How something is, and the device's word for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// For people and rules.
    pub status: Status,
    /// As the device says it.
    pub word: Option<Box<str>>,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "the words say what they are")]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// All, in order.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it stands in profiles and in the API.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// The one that a word names.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

words! {
    /// How something is.
    Status { Ok = "ok", Warning = "warning", Critical = "critical", Unknown = "unknown",
        /// There is no such thing in this row.
        Absent = "absent" }
}

words! {
    /// What a sensor measures.
    SensorKind {
        Temperature = "temperature", Humidity = "humidity", Voltage = "voltage", Current = "current", Power = "power",
        ApparentPower = "apparent_power", ReactivePower = "reactive_power", PowerFactor = "power_factor", Energy = "energy",
        Frequency = "frequency", Fan = "fan", Airflow = "airflow", Pressure = "pressure", Charge = "charge", Load = "load",
        Runtime = "runtime", Dbm = "dbm", Signal = "signal", Snr = "snr", Level = "level", Count = "count",
        Percent = "percent", Distance = "distance", Light = "light", State = "state",
    }
}

impl SensorKind {
    /// Its unit, as UCUM or people write it; empty where it has none.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Temperature => "celsius",
            Self::Humidity | Self::Charge | Self::Load | Self::Level | Self::Percent => "percent",
            Self::Voltage => "volt",
            Self::Current => "ampere",
            Self::Power => "watt",
            Self::ApparentPower => "volt-ampere",
            Self::ReactivePower => "var",
            Self::Energy => "kilowatt-hour",
            Self::Frequency => "hertz",
            Self::Fan => "rpm",
            Self::Runtime => "minute",
            Self::Dbm | Self::Signal => "dBm",
            Self::Snr => "dB",
            Self::Distance => "metre",
            Self::PowerFactor
            | Self::Airflow
            | Self::Pressure
            | Self::Light
            | Self::Count
            | Self::State => "",
        }
    }
}

words! {
    /// From a device's unit to the one that people use.
    Conversion {
        /// As it is.
        None = "none", WattToDbm = "watt_to_dbm", FahrenheitToCelsius = "fahrenheit_to_celsius",
        KelvinToCelsius = "kelvin_to_celsius",
    }
}

impl Conversion {
    /// The number in people's unit; `None` where there is none (no light has no dBm).
    #[must_use]
    pub fn apply(self, number: f64) -> Option<f64> {
        match self {
            Self::None => Some(number),
            Self::WattToDbm if number <= 0.0 => None,
            Self::WattToDbm => Some((10_000.0 * (number * 1_000.0).log10()).round() / 1_000.0),
            Self::FahrenheitToCelsius => Some((number - 32.0) / 1.8),
            Self::KelvinToCelsius => Some(number - 273.15),
        }
    }
}

words! {
    /// What holds data.
    StorageKind { Memory = "memory", Swap = "swap", Disk = "disk", Flash = "flash", Other = "other" }
}

/// Disks or memory.
#[derive(Clone, Debug)]
pub struct StorageRows {
    /// Rows and names.
    pub rows: Rows,
    /// Which.
    pub kind: Pick<StorageKind>,
    /// Bytes, after the unit.
    pub size: Option<Amount>,
    /// Bytes, after the unit.
    pub used: Option<Amount>,
    /// Bytes, after the unit.
    pub free: Option<Amount>,
    /// 0 to 100.
    pub used_percent: Option<Amount>,
    /// Bytes that one of size, used and free stands for.
    pub unit: Unit,
}

/// How many bytes one stands for.
#[derive(Clone, Debug)]
pub enum Unit {
    /// Always so many.
    Bytes(f64),
    /// As a column says.
    Column(Pick<Box<str>>),
}

/// A number of storage or processors.
#[derive(Clone, Debug)]
pub struct Amount {
    /// Its object.
    pub object: Object,
    /// Multiplied with.
    pub scale: f64,
    /// All must hold.
    pub conditions: Vec<Condition>,
}

/// Processors.
#[derive(Clone, Debug)]
pub struct ProcessorRows {
    /// Rows and names.
    pub rows: Rows,
    /// Percent busy.
    pub load: Option<Amount>,
    /// Percent idle.
    pub idle: Option<Amount>,
}

/// Metrics by the names of their MIB.
#[derive(Clone, Debug)]
pub struct MetricRows {
    /// Rows; names are not used.
    pub rows: Rows,
    /// What is read.
    pub symbols: Vec<MetricSymbol>,
    /// What tells rows apart.
    pub tags: Vec<Tag>,
}

/// A metric.
#[derive(Clone, Debug)]
pub struct MetricSymbol {
    /// Its object; the name is the metric's.
    pub object: Object,
    /// Multiplied with.
    pub scale: f64,
    /// UCUM.
    pub unit: Option<Box<str>>,
    /// 1 for each row, whatever the value.
    pub is_one: bool,
    /// How it is to be read, where the type of the value does not say it.
    pub kind: Option<MetricType>,
}

words! {
    /// How a metric's values are to be read.
    MetricType { Gauge = "gauge", MonotonicCount = "monotonic_count", Rate = "rate", Percent = "percent" }
}

/// What tells the rows of a metric apart.
#[derive(Clone, Debug)]
pub struct Tag {
    /// The label.
    pub name: Box<str>,
    /// Its value.
    pub from: TagFrom,
    /// Parts of the index under which it is found.
    pub parts: Option<Vec<Part>>,
    /// Words for it.
    pub mapping: Option<Mapping<Box<str>>>,
}

/// Where a tag's value is.
#[derive(Clone, Debug)]
pub enum TagFrom {
    /// A column.
    Object(Box<Object>),
    /// An arc of the index, from 1.
    Index(usize),
    /// The parts of the index themselves.
    Parts,
}

/// What the devices of a profile cannot bear.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// GETBULK is not answered.
    pub no_bulk: bool,
    /// More repetitions are not answered.
    pub max_repetitions: Option<u32>,
    /// They take longer than usual.
    pub timeout: Option<Duration>,
}

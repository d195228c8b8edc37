//! What spans and findings say of themselves, by the names of the semantic conventions.

use tracer_engine::{Finding, Resource, Span, Value};

/// Something about a process, with attributes.
pub trait Attributed {
    /// The process it is about.
    fn resource(&self) -> &Resource;

    /// Its attributes.
    fn attributes(&self) -> &[(&'static str, Value)];
}

impl Attributed for Span {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn attributes(&self) -> &[(&'static str, Value)] {
        &self.attributes
    }
}

impl Attributed for Finding {
    fn resource(&self) -> &Resource {
        &self.resource
    }

    fn attributes(&self) -> &[(&'static str, Value)] {
        &self.attributes
    }
}

/// An attribute.
pub fn attribute<'a>(of: &'a impl Attributed, key: &str) -> Option<&'a Value> {
    of.attributes().iter().find(|(k, _)| *k == key).map(|(_, value)| value)
}

/// An attribute that is a whole number.
pub fn int(of: &impl Attributed, key: &str) -> Option<i64> {
    match attribute(of, key)? {
        Value::Int(n) => Some(*n),
        _ => None,
    }
}

/// An attribute that is a string.
pub fn string<'a>(of: &'a impl Attributed, key: &str) -> Option<&'a str> {
    attribute(of, key)?.text()
}

/// An attribute that is a list of strings; empty when it is not there.
pub fn strings<'a>(of: &'a impl Attributed, key: &str) -> &'a [String] {
    match attribute(of, key) {
        Some(Value::Strings(texts)) => texts,
        _ => &[],
    }
}

/// An attribute of the resource that is a string.
pub fn of_resource<'a>(of: &'a impl Attributed, key: &str) -> Option<&'a str> {
    of.resource().attributes.iter().find(|(known, _)| known == key).and_then(|(_, value)| value.text())
}

/// `service.name` of the resource.
pub fn service_name(of: &impl Attributed) -> Option<&str> {
    of_resource(of, "service.name")
}

//! What the benchmarks found: medians over the rounds, as a table for people and as JSON for programs.

use super::load::Done;
use serde_json::{Value, json};
use std::fs;

/// One load once, with or without an agent.
#[derive(Debug)]
pub struct Sample {
    /// What the load did.
    pub done: Done,
    /// CPU time of the server.
    pub server_us: f64,
    /// What the agent did meanwhile, if there was one.
    pub agent: Option<AgentSample>,
}

/// The agent during one load; all but the first two as it says itself.
#[derive(Debug)]
pub struct AgentSample {
    /// From its start to its word that it is ready.
    pub ready_ms: f64,
    /// CPU time while the load ran and until all of it was worked off.
    pub cpu_us: f64,
    /// Records it read.
    pub records: f64,
    /// Records that found no room.
    pub lost: f64,
    /// Spans it made.
    pub spans: f64,
    /// Memory at the end.
    pub rss_bytes: f64,
}

/// All samples of one load.
#[derive(Debug)]
pub struct Series {
    /// What the load is.
    pub name: &'static str,
    /// With nothing attached, and with `tracer watch`.
    pub samples: Vec<Sample>,
}

impl Series {
    fn median(&self, traced: bool, value: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().filter(|sample| sample.agent.is_some() == traced).map(value))
    }

    fn agents(&self) -> impl Iterator<Item = (&Sample, &AgentSample)> {
        self.samples.iter().filter_map(|sample| Some((sample, sample.agent.as_ref()?)))
    }

    fn summary(&self) -> Value {
        let [bare, traced] =
            [false, true].map(|it| self.median(it, |sample| sample.server_us / sample.done.requests));
        let [rate, traced_rate] =
            [false, true].map(|it| self.median(it, |sample| sample.done.requests / sample.done.seconds));
        json!({
            "load": self.name,
            "server_us_per_request": { "bare": bare, "traced": traced, "ratio": traced / bare },
            "requests_per_second": { "bare": rate, "traced": traced_rate },
            "agent_us_per_request": median(self.agents().map(|(sample, agent)| agent.cpu_us / sample.done.requests)),
            "agent_us_per_span": median(self.agents().map(|(_, agent)| agent.cpu_us / agent.spans)),
            "records_per_second": median(self.agents().map(|(sample, agent)| agent.records / sample.done.seconds)),
            "records": self.agents().map(|(_, agent)| agent.records).sum::<f64>(),
            "lost": self.agents().map(|(_, agent)| agent.lost).sum::<f64>(),
            "spans": self.agents().map(|(_, agent)| agent.spans).sum::<f64>(),
            "rss_mib": median(self.agents().map(|(_, agent)| agent.rss_bytes / f64::from(1 << 20))),
            "ready_ms": median(self.agents().map(|(_, agent)| agent.ready_ms)),
        })
    }
}

/// Everything.
pub fn to_json(series: &[Series], rounds: u32) -> Value {
    json!({
        "machine": {
            "cpu": line_of("/proc/cpuinfo", "model name"),
            "cpus": cpus(),
            "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        },
        "rounds": rounds,
        "loads": series.iter().map(Series::summary).collect::<Vec<_>>(),
    })
}

/// Of the machine: this process may use only some by now.
fn cpus() -> usize {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    text.lines().filter(|line| line.starts_with("processor")).count()
}

/// The same for people, in Markdown.
pub fn to_table(report: &Value) -> String {
    let machine = &report["machine"];
    let mut table = format!(
        "{} CPUs ({}), Linux {}, medians of {} alternating rounds\n\n",
        machine["cpus"],
        text(&machine["cpu"]),
        text(&machine["kernel"]),
        report["rounds"]
    );
    table += "| nginx | requests/s alone | traced | its CPU per request alone | traced | ratio \
              | agent's CPU per request | per span | records/s | lost | RSS | ready in |\n";
    table += &format!("|{}\n", " --- |".repeat(12));
    for load in report["loads"].as_array().into_iter().flatten() {
        let (rate, server) = (&load["requests_per_second"], &load["server_us_per_request"]);
        table += &format!(
            "| {} | {} | {} | {} µs | {} µs | {} | {} µs | {} µs | {} | {} of {} | {} MiB | {} ms |\n",
            text(&load["load"]),
            figure(&rate["bare"], 0),
            figure(&rate["traced"], 0),
            figure(&server["bare"], 2),
            figure(&server["traced"], 2),
            figure(&server["ratio"], 2),
            figure(&load["agent_us_per_request"], 2),
            figure(&load["agent_us_per_span"], 2),
            figure(&load["records_per_second"], 0),
            figure(&load["lost"], 0),
            // Those that were lost are not among the records.
            figure(&json!(number(&load["lost"]) + number(&load["records"])), 0),
            figure(&load["rss_mib"], 0),
            figure(&load["ready_ms"], 0),
        );
    }
    table
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn figure(value: &Value, digits: usize) -> String {
    format!("{:.digits$}", number(value))
}

fn line_of(file: &str, name: &str) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_once(':'));
    value.map_or("unknown", |(_, value)| value.trim()).to_owned()
}

/// The middle one; of an even number the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0].into_iter()), 2.5);
        assert!(median(std::iter::empty()).is_nan());
    }

    #[test]
    fn a_report_has_a_row_for_each_load() {
        let sample =
            |server_us, agent| Sample { done: Done { requests: 100.0, seconds: 2.0 }, server_us, agent };
        let agent = AgentSample {
            ready_ms: 300.0,
            cpu_us: 800.0,
            records: 390.0,
            lost: 10.0,
            spans: 200.0,
            rss_bytes: 31_457_280.0,
        };
        let samples = vec![sample(700.0, None), sample(770.0, Some(agent))];
        let report = to_json(&[Series { name: "some load", samples }], 1);
        let table = to_table(&report);
        let row = table.lines().last().unwrap_or_default();
        assert_eq!(
            row,
            "| some load | 50 | 50 | 7.00 µs | 7.70 µs | 1.10 | 8.00 µs | 4.00 µs | 195 | 10 of 400 | 30 MiB | 300 ms |"
        );
    }
}

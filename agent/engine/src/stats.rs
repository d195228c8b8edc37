//! What the engine counts.

/// Counters of what the engine saw and could not use. All only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Records that entered.
    pub records: u64,
    /// Records that the kernel side could not deliver, all causes.
    pub lost: u64,
    /// The same by cause.
    pub lost_by_cause: [u64; tracer_common::lost::CAUSES as usize],
    /// Records that could not be decoded.
    pub undecodable: u64,
    /// Spans that left.
    pub spans: u64,
    /// Findings that left.
    pub findings: u64,
    /// Findings that found no room before they left.
    pub dropped_findings: u64,
    /// Bytes that moved over sockets without their content being seen.
    pub bytes_unseen: u64,
    /// Times that the boundaries of a connection's messages were lost.
    pub boundaries_lost: u64,
    /// Connections given up as no HTTP, or as a tunnel.
    pub opaque_connections: u64,
    /// Final responses without a request.
    pub orphan_responses: u64,
    /// Sends that failed.
    pub failed_sends: u64,
    /// Requests with a trace context that was broken, whether or not another one was valid.
    pub broken_contexts: u64,
    /// Requests not followed because too many waited for their response on one connection.
    pub dropped_requests: u64,
    /// Connections dropped because too many were open.
    pub dropped_connections: u64,
    /// Connections whose unfinished messages were given up because all together kept too much of such.
    pub shed_connections: u64,
    /// Exchanges and launches not followed because too many were open.
    pub dropped_exchanges: u64,
    /// Times that the heads or command lines of an exchange or a launch were cut because all together took too
    /// much.
    pub truncated: u64,
    /// Threads and processes forgotten because too many were known.
    pub forgotten_tasks: u64,
    /// What rules had remembered or might have looked into, given up because there was too much of it: requests that might
    /// have shown smuggling, or for which something may have been launched; what servers did and sent.
    pub forgotten_evidence: u64,
    /// Links that came after the span's trace had been told.
    pub late_links: u64,
    /// Exchanges still under way whose other end was no longer looked for, because too many waited for theirs.
    pub forgotten_ends: u64,
    /// Calls and launches while requests were open, for which none of these was sure enough as the cause.
    pub undecided_causes: u64,
    /// Spans whose parent was forgotten before they ended.
    pub causes_gone: u64,
    /// Habits of services that found no room in the baseline.
    pub unlearned: u64,
}

impl Stats {
    /// What could not be used, by name.
    #[must_use]
    pub fn unused(&self) -> [(&'static str, u64); 20] {
        [
            ("undecodable", self.undecodable),
            ("bytes_unseen", self.bytes_unseen),
            ("boundaries_lost", self.boundaries_lost),
            ("opaque_connections", self.opaque_connections),
            ("orphan_responses", self.orphan_responses),
            ("failed_sends", self.failed_sends),
            ("broken_contexts", self.broken_contexts),
            ("dropped_requests", self.dropped_requests),
            ("dropped_connections", self.dropped_connections),
            ("shed_connections", self.shed_connections),
            ("dropped_findings", self.dropped_findings),
            ("dropped_exchanges", self.dropped_exchanges),
            ("truncated", self.truncated),
            ("forgotten_tasks", self.forgotten_tasks),
            ("forgotten_evidence", self.forgotten_evidence),
            ("late_links", self.late_links),
            ("forgotten_ends", self.forgotten_ends),
            ("undecided_causes", self.undecided_causes),
            ("causes_gone", self.causes_gone),
            ("unlearned", self.unlearned),
        ]
    }
}

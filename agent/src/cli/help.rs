//! What the help says below the options.

/// Of every command.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  ok
  1  failed (also: nothing of what was to be exported could be delivered; a recording ends early)
  2  wrong usage: of an option, of an OTEL_* variable; a file that is there already; a baseline
     that is damaged or of a later version
  3  a privilege or a kernel feature is missing
  4  --fail-on: a finding of at least that severity was told; it comes before 1 and a COMMAND's own
  130, 143  a second Ctrl-C or SIGTERM, which ends at once
A COMMAND that ends by itself with a code other than 0 gives its own, 128 + N when signal N killed it.

Data goes to stdout, diagnostics to stderr. NO_COLOR is respected.";

/// Of what shows spans.
pub const FILTER_HELP: &str = "\
Filters: a span is shown when it meets every condition given. The pretty view shows the whole
trace of such a span, with what caused it and what it caused; json and OTLP carry just the spans
that match. A finding is held to the same conditions, but not hidden by one on what it says nothing
of: its process and service are always known, a port or a status not, and it has no duration.

--findings leaves out the spans: json and OTLP carry findings alone, the pretty view the traces
that they belong to as well. The spans that a finding is about name its rule in any view.";

/// Of what can trace just a command.
pub const COMMAND_HELP: &str = "\
COMMAND starts when every hook is attached. Shown are the requests that its own process and its
descendants send or receive, the processes that a request caused them to launch, and findings about
them: the command itself and what it launches on its own is not shown. Its standard output goes to
stderr. When tracing ends first, it gets SIGTERM, and its exit code does not count.";

/// Of what exports.
pub const OTLP_HELP: &str = "\
OTLP carries spans as traces, findings as logs. It is set up by the standard variables, or by their
forms for the one and the other, OTEL_EXPORTER_OTLP_TRACES_* and OTEL_EXPORTER_OTLP_LOGS_*:
  OTEL_EXPORTER_OTLP_ENDPOINT     http://localhost:4318, for grpc http://localhost:4317
  OTEL_EXPORTER_OTLP_PROTOCOL     http/protobuf (default) or grpc
  OTEL_EXPORTER_OTLP_HEADERS      key=value,key=value
  OTEL_EXPORTER_OTLP_COMPRESSION  gzip or none
  OTEL_EXPORTER_OTLP_TIMEOUT      milliseconds for a batch with all its retries, 10000
  OTEL_EXPORTER_OTLP_CERTIFICATE, _CLIENT_CERTIFICATE, _CLIENT_KEY   PEM files";

package doctor

// Traces judges what the OTLP collector answered to a request without spans.
func Traces(err error) []Result {
	const tried = "send the OTLP collector a request without spans"
	if err != nil {
		return []Result{bad(Warn, tried, err.Error(), remedy{"OTEL_EXPORTER_OTLP_ENDPOINT", "start the collector, or correct its address (the HTTP port, usually 4318); tasks go on without it"})}
	}
	return []Result{good(tried, "taken")}
}

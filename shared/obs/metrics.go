package obs

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Registry holds the metrics of one service. A nil Registry takes everything and shows nothing, so
// that code under test needs none.
type Registry struct{ reg *prometheus.Registry }

// NewRegistry returns a registry with the figures of the Go runtime, the process and the build
// (go_build_info).
func NewRegistry() *Registry {
	r := &Registry{reg: prometheus.NewRegistry()}
	r.reg.MustRegister(collectors.NewGoCollector(), collectors.NewBuildInfoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Handler serves the metrics in the text format of Prometheus.
func (r *Registry) Handler() http.Handler {
	if r == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(r.reg, promhttp.HandlerOpts{})
}

// Counter is a number that only grows, for each combination of label values. The zero Counter
// counts nothing.
type Counter struct{ vec *prometheus.CounterVec }

// Counter registers a counter. Registering a name twice panics: it is a fault of the program.
func (r *Registry) Counter(name, help string, labels ...string) Counter {
	if r == nil {
		return Counter{}
	}
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	r.reg.MustRegister(vec)
	return Counter{vec}
}

// Add adds v, which is not negative, for these label values.
func (c Counter) Add(v float64, labels ...string) {
	if c.vec != nil {
		c.vec.WithLabelValues(labels...).Add(v)
	}
}

// Inc adds one; with no label values known yet, call Add(0, …) at start so that the series exists.
func (c Counter) Inc(labels ...string) { c.Add(1, labels...) }

// Gauge is a number that goes up and down. The zero Gauge shows nothing.
type Gauge struct{ vec *prometheus.GaugeVec }

// Gauge registers a gauge.
func (r *Registry) Gauge(name, help string, labels ...string) Gauge {
	if r == nil {
		return Gauge{}
	}
	vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
	r.reg.MustRegister(vec)
	return Gauge{vec}
}

// Set sets the gauge for these label values.
func (g Gauge) Set(v float64, labels ...string) {
	if g.vec != nil {
		g.vec.WithLabelValues(labels...).Set(v)
	}
}

// Add adds v, which may be negative.
func (g Gauge) Add(v float64, labels ...string) {
	if g.vec != nil {
		g.vec.WithLabelValues(labels...).Add(v)
	}
}

// GaugeFunc registers a gauge whose value is asked for when the metrics are read. read is called
// from any goroutine and must not block.
func (r *Registry) GaugeFunc(name, help string, read func() float64) {
	if r != nil {
		r.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, read))
	}
}

// GaugeFuncOf registers a gauge like GaugeFunc for one value of a label; others of the same name
// and help may follow.
func (r *Registry) GaugeFuncOf(name, help, label, value string, read func() float64) {
	if r != nil {
		r.reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help,
			ConstLabels: prometheus.Labels{label: value}}, read))
	}
}

// CounterFunc registers a counter whose value is asked for when the metrics are read. read is
// called from any goroutine, must not block, and never returns less than before.
func (r *Registry) CounterFunc(name, help string, read func() float64) {
	if r != nil {
		r.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, read))
	}
}

// Histogram counts observations in buckets. The zero Histogram counts nothing.
type Histogram struct{ vec *prometheus.HistogramVec }

// Histogram registers a histogram with these upper bounds.
func (r *Registry) Histogram(name, help string, buckets []float64, labels ...string) Histogram {
	if r == nil {
		return Histogram{}
	}
	vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	r.reg.MustRegister(vec)
	return Histogram{vec}
}

// Observe counts v for these label values.
func (h Histogram) Observe(v float64, labels ...string) {
	if h.vec != nil {
		h.vec.WithLabelValues(labels...).Observe(v)
	}
}

// At returns a function that counts for fixed label values without looking them up each time.
func (h Histogram) At(labels ...string) func(v float64) {
	if h.vec == nil {
		return func(float64) {}
	}
	return h.vec.WithLabelValues(labels...).Observe
}

// At returns a function that counts one for fixed label values without looking them up each time.
func (c Counter) At(labels ...string) func() {
	if c.vec == nil {
		return func() {}
	}
	return c.vec.WithLabelValues(labels...).Inc
}

package api

import (
	"context"
	"strings"
	"time"

	"github.com/provisioning-platform/platform/shared/health"
	"github.com/provisioning-platform/platform/shared/web"
)

// condition says how a part of the service is; the greater, the worse.
type condition int

const (
	healthy condition = iota
	degraded
	unhealthy
)

func (c condition) String() string { return [...]string{"Healthy", "Degraded", "Unhealthy"}[c] }

type systemHealthView struct {
	Overall    string          `json:"overall_status" enum:"Healthy,Degraded,Unhealthy" doc:"the worst of the parts; Degraded: reads are served and changes may be refused" example:"Healthy"`
	Components componentsView  `json:"components" doc:"how each part is"`
	Reasons    []health.Reason `json:"reasons" doc:"why it is not Healthy, as GET /health says it" example:"[\"store.full\"]"`
	LastCheck  time.Time       `json:"last_check" doc:"when this was found out"`
}

type componentsView struct {
	Storage     string `json:"storage" enum:"Healthy,Degraded,Unhealthy" doc:"the store: Degraded when it can be read and not changed, Unhealthy when it cannot be read" example:"Healthy"`
	Coordinator string `json:"batch_coordinator" enum:"Healthy,Degraded,Unhealthy" doc:"the engine: Degraded while it takes no new work for want of the control-center" example:"Healthy"`
	Monitoring  string `json:"monitoring" enum:"Healthy,Degraded,Unhealthy" doc:"the audit log and its witness" example:"Healthy"`
}

func (a *API) getSystemHealth(context.Context, web.None) (systemHealthView, error) {
	v := systemHealthView{Reasons: []health.Reason{}, LastCheck: a.Engine.Now()}
	var storage, coordinator, monitoring condition
	if a.Health.ReadsStore() != nil {
		storage = unhealthy
	}
	reasons, _ := a.Health.Reasons()
	for _, r := range reasons {
		v.Reasons = append(v.Reasons, r)
		part := &coordinator
		switch topic, _, _ := strings.Cut(string(r), "."); topic {
		case "store":
			part = &storage
		case "audit":
			part = &monitoring
		}
		*part = max(*part, degraded)
	}
	v.Components = componentsView{Storage: storage.String(), Coordinator: coordinator.String(), Monitoring: monitoring.String()}
	v.Overall = max(storage, coordinator, monitoring).String()
	return v, nil
}

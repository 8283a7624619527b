package body

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
)

// batch is a body like that of POST /batch/execute.
type batch struct {
	Name            string      `json:"name" required:"true" max:"256" form:"free"`
	Version         string      `json:"version" default:"1.0.0" max:"256" form:"free"`
	ParallelLimit   int         `json:"parallel_limit" default:"5" min:"1" max:"10000"`
	RollbackEnabled bool        `json:"rollback_enabled" default:"true"`
	Operations      []operation `json:"operations" required:"true" max:"2000"`
}

type operation struct {
	ID           string   `json:"id" required:"true" form:"name"`
	Type         string   `json:"type" required:"true" max:"64"`
	Provider     string   `json:"provider" required:"true" form:"name"`
	Dependencies []string `json:"dependencies" max:"2000"`
	Servers      []server `json:"server_configs" max:"256"`
	OnFailure    string   `json:"on_failure" enum:"fail,continue,rollback"`
	Timeout      int      `json:"timeout" min:"0" max:"604800"`
	Retry        *retry   `json:"retry"`
	CheckMode    bool     `json:"check_mode"`
}

type server struct {
	Name string `json:"name" required:"true" form:"name"`
	Plan string `json:"plan" max:"256" form:"free"`
	Zone string `json:"zone" max:"256" form:"free"`
}

type retry struct {
	MaxAttempts int `json:"max_attempts" min:"0" max:"100"`
}

// batchOf returns a batch of n operations as a client sends it.
func batchOf(n int) []byte {
	operations := make([]map[string]any, n)
	for i := range operations {
		operations[i] = map[string]any{"id": fmt.Sprintf("op-%d", i), "type": "server_batch", "provider": "upcloud",
			"retry":          map[string]any{"max_attempts": 3},
			"server_configs": []any{map[string]any{"name": fmt.Sprintf("web-%d", i), "plan": "1xCPU-2GB", "zone": "de-fra1"}}}
		if i > 0 {
			operations[i]["dependencies"] = []any{fmt.Sprintf("op-%d", i-1)}
		}
	}
	raw, err := json.Marshal(map[string]any{"name": "deployment", "operations": operations})
	if err != nil {
		panic(err)
	}
	return raw
}

// BenchmarkDecode decodes good batches of 3 and of 1,000 operations (ADR 5).
func BenchmarkDecode(b *testing.B) {
	s, err := NewShapes().Input(reflect.TypeFor[batch]())
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{3, 1000} {
		raw := batchOf(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				var v batch
				if err := Decode(raw, s, reflect.ValueOf(&v).Elem(), Lenience{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

package run

import (
	"strconv"

	"github.com/provisioning-platform/platform/orchestrator/internal/dag"
	"github.com/provisioning-platform/platform/shared/store"
)

// Effects is the table of effects. One that stands has two index keys: "stands", the era of its
// operation, on the lead only, so that the index counts operations; and "target", the server that a
// task service is on.
func Effects() store.Table[dag.Effect] {
	return store.Table[dag.Effect]{Kind: effectKind, ID: func(e dag.Effect) string { return e.ID },
		Index: func(e dag.Effect) []store.IndexKey { return effectIndex(&e) }}
}

func effectIndex(e *dag.Effect) []store.IndexKey {
	if !e.Progress.Applied {
		return nil
	}
	keys := make([]store.IndexKey, 0, 2)
	if e.Era != 0 {
		keys = append(keys, store.IndexKey{Name: "stands", Value: EraKey(e.Era)})
	}
	if target := e.Progress.Step.Target; target != "" {
		keys = append(keys, store.IndexKey{Name: "target", Value: target})
	}
	return keys
}

// EffectOf returns the effect of a row. A lead that no later commit has written stands since its
// own revision.
func EffectOf(row store.Row[dag.Effect]) dag.Effect {
	e := row.Value
	if e.Era != 0 && e.Since == 0 {
		e.Since = row.Rev
	}
	return e
}

// RankOf returns the place of a lead's operation in the order of undoing.
func RankOf(lead *dag.Effect) dag.Position {
	taskID, _ := lead.TaskAndStep()
	return dag.Position{Era: lead.Era, Since: lead.Since, Task: taskID}
}

// writeEffect writes an effect. One larger than dag.MaxEffect loses what only a restore needs,
// Recorded.Made.
func (o *Encoder) writeEffect(x *dag.Effect) store.Write {
	before := o.Mark()
	o.effect(x)
	if o.Len() > dag.MaxEffect && len(x.Recorded.Made) > 0 {
		o.Back(before)
		x.Recorded.Made = nil
		o.effect(x)
	}
	return store.NewPut(Effects().Key(x.ID), store.Any(), effectIndex(x), o.Body())
}

// effect appends the document of an effect.
func (o *Encoder) effect(x *dag.Effect) {
	o.Begin()
	o.Flag("batch", x.Batch)
	o.Count("era", int64(x.Era))
	o.Always("id", x.ID)
	o.Always("name", x.Name)
	if len(x.Dependencies) > 0 {
		list := []byte{'['}
		for i, n := range x.Dependencies {
			if i > 0 {
				list = append(list, ',')
			}
			list = strconv.AppendInt(list, int64(n), 10)
		}
		o.JSON("needs", append(list, ']'))
	}
	o.Flag("needs_all", x.DependsOnAll)
	o.Number("number", int64(x.Number))
	o.Count("of", int64(x.Of))
	o.Text("operation", x.Operation)
	o.Object("progress")
	o.progress(&x.Progress)
	o.End()
	o.Object("recorded")
	o.Time("at", x.Recorded.At)
	o.Dict("facts", x.Recorded.Facts)
	if len(x.Recorded.Made) > 0 {
		o.Array("made")
		for i := range x.Recorded.Made {
			m := &x.Recorded.Made[i]
			o.Begin()
			o.Dict("facts", m.Facts)
			o.Flag("gone", m.Gone)
			o.Always("kind", m.Kind)
			o.Always("name", m.Name)
			o.Always("provider", m.Provider)
			o.End()
		}
		o.EndArray()
	}
	o.End()
	o.Text("rollback", x.Rollback)
	o.Always("run", x.Run)
	o.Count("since", int64(x.Since))
	o.End()
}

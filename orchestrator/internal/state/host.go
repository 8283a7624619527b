package state

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"syscall"
)

// Host measures the machine that the orchestrator runs on. Make one with NewHost.
type Host struct {
	dir string

	mu   sync.Mutex // guards both
	last processorTime
	busy float64 // percent between the two looks before
}

// processorTime is what the kernel has counted of all processors since it started, in ticks.
type processorTime struct{ busy, all uint64 }

// NewHost returns the machine that this process runs on, whose disk is the one that dir is on.
func NewHost(dir string) *Host {
	return &Host{dir: dir, last: readProcessorTime()}
}

// Load is how loaded a machine is.
type Load struct {
	CPU    float64 // percent of all processors that were busy since the look before, 0 to 100
	Memory int     // MiB in use
	Disk   float64 // percent of the disk that is in use, 0 to 100
}

// Load returns the load of now. A figure that the kernel does not tell is 0.
func (m *Host) Load() Load {
	return Load{CPU: m.cpu(), Memory: memoryInUse(), Disk: diskInUse(m.dir)}
}

// minTicks is the least time between two looks that says something, in ticks of all processors.
const minTicks = 20

func (m *Host) cpu() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := readProcessorTime()
	if now.all < m.last.all+minTicks {
		return m.busy
	}
	m.busy = share(float64(now.busy)-float64(m.last.busy), float64(now.all-m.last.all))
	m.last = now
	return m.busy
}

// share returns part as a percentage of whole, between 0 and 100.
func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(100, max(0, 100*part/whole))
}

// readProcessorTime reads the first line of /proc/stat: "cpu  user nice system idle iowait irq …".
func readProcessorTime() (t processorTime) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return t
	}
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	const idle, iowait, guest = 4, 5, 9 // places in the line; guests are counted in user, too
	for i, field := range bytes.Fields(line) {
		n, err := strconv.ParseUint(string(field), 10, 64)
		if err != nil || i >= guest {
			continue
		}
		t.all += n
		if i != idle && i != iowait {
			t.busy += n
		}
	}
	return t
}

// memoryInUse returns what programs use and cannot be given to others, in MiB.
func memoryInUse() int {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	sizes := map[string]int{} // in KiB
	for line := range bytes.Lines(text) {
		name, rest, _ := bytes.Cut(line, []byte{':'})
		if fields := bytes.Fields(rest); len(fields) > 0 {
			sizes[string(name)], _ = strconv.Atoi(string(fields[0]))
		}
	}
	return max(0, sizes["MemTotal"]-sizes["MemAvailable"]) >> 10
}

func diskInUse(dir string) float64 {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return 0
	}
	used := float64(fs.Blocks) - float64(fs.Bfree)
	return share(used, used+float64(fs.Bavail)) // what only root may use does not count as free
}

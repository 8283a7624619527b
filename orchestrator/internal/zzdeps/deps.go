package zzdeps
import (
_ "golang.org/x/crypto/ssh"
_ "github.com/spf13/cobra"
_ "golang.org/x/sync/errgroup"
_ "golang.org/x/sys/unix"
_ "github.com/pelletier/go-toml/v2"
_ "go.yaml.in/yaml/v3"
)

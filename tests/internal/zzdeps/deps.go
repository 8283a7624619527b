package zzdeps
import (
_ "github.com/gorilla/websocket"
_ "github.com/prometheus/common/expfmt"
_ "golang.org/x/tools/go/packages"
_ "golang.org/x/mod/modfile"
_ "golang.org/x/mod/sumdb/note"
)

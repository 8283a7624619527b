module github.com/provisioning-platform/platform/tests

go 1.26.0

require (
	github.com/gorilla/websocket v1.5.3
	github.com/prometheus/common v0.72.0
	golang.org/x/mod v0.43.0
	golang.org/x/tools v0.52.0
)

require (
	github.com/munnerz/goautoneg v0.0.0-20191010083416-a7dc8b61c822 // indirect
	github.com/prometheus/client_model v0.6.3 // indirect
	go.yaml.in/yaml/v3 v3.0.6 // indirect
	golang.org/x/sync v0.25.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/provisioning-platform/platform/shared => ../shared

replace github.com/provisioning-platform/platform/policies => ../policies

module github.com/provisioning-platform/platform/policies

go 1.26.0

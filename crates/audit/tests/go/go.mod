module sealgate.example/audit-check

go 1.24

require golang.org/x/mod v0.11.0

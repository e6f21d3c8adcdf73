// Two clients for Go against the gateway: `aws-sdk-go-v2` with its transfer managers, and `minio-go`. The argument says which.
package main

import (
	"context"
	"fmt"
	"os"
)

func main() {
	clients := map[string]func(context.Context){
		"aws-sdk-go-v2": awsSDK,
		"minio-go":      minioGo,
	}
	if len(os.Args) != 2 || clients[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: clients aws-sdk-go-v2|minio-go; tests/clients/run starts it")
		os.Exit(2)
	}
	clients[os.Args[1]](context.Background())
}

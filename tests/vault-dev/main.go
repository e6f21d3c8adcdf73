// A Vault server for tests: the core of Vault 1.14 in memory, unsealed, with the Transit engine and the logins that a
// workload uses (AppRole, Kubernetes), and with TLS where certificates are named. Vault itself can't be installed with
// `go install`, because its go.mod replaces modules by directories.
//
// It prints "ready URL" on standard output once it serves. Nothing is kept: another start is another Vault.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/logical/transit"
	"github.com/hashicorp/vault/helper/namespace"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// How long the core may take to open its own seal.
const unsealLimit = 10 * time.Second

var (
	engines = map[string]logical.Factory{"transit": transit.Factory}
	logins  = map[string]logical.Factory{"approle": approle.Factory, "kubernetes": kubernetes.Factory}
)

// What Vault asks about plugins: the catalogue of those that are compiled in.
type compiledIn struct{}

func (compiledIn) find(name string) (logical.Factory, bool) {
	if factory, found := engines[name]; found {
		return factory, true
	}
	factory, found := logins[name]
	return factory, found
}

func (c compiledIn) Contains(name string, _ consts.PluginType) bool {
	_, found := c.find(name)
	return found
}

func (c compiledIn) Get(name string, _ consts.PluginType) (func() (interface{}, error), bool) {
	factory, found := c.find(name)
	return func() (interface{}, error) { return factory, nil }, found
}

func (compiledIn) Keys(kind consts.PluginType) []string {
	var names []string
	switch kind {
	case consts.PluginTypeSecrets:
		for name := range engines {
			names = append(names, name)
		}
	case consts.PluginTypeCredential:
		for name := range logins {
			names = append(names, name)
		}
	}
	return names
}

func (compiledIn) DeprecationStatus(string, consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, true
}

func (compiledIn) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	token := flag.String("root-token", "root", "the token that may do everything")
	certificate := flag.String("tls-certificate", "", "PEM file; with it, and its key, the server speaks TLS")
	key := flag.String("tls-key", "", "PEM file")
	clientAuthority := flag.String("tls-client-authority", "", "PEM file; clients must show a certificate that it signed")
	flag.Parse()

	err := serve(*listen, *token, *certificate, *key, *clientAuthority)
	fmt.Fprintln(os.Stderr, "vault-dev:", err)
	os.Exit(1)
}

func serve(listen, token, certificate, key, clientAuthority string) error {
	core, err := start(token)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	scheme := "http"
	if certificate != "" {
		settings, err := tlsSettings(certificate, key, clientAuthority)
		if err != nil {
			return err
		}
		scheme, listener = "https", tls.NewListener(listener, settings)
	}
	handler := vaulthttp.Handler.Handler(&vault.HandlerProperties{
		Core:           core,
		ListenerConfig: &configutil.Listener{},
	})
	fmt.Printf("ready %s://%s\n", scheme, listener.Addr())
	server := http.Server{Handler: handler, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

func tlsSettings(certificate, key, clientAuthority string) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(certificate, key)
	if err != nil {
		return nil, err
	}
	settings := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if clientAuthority == "" {
		return settings, nil
	}
	pem, err := os.ReadFile(clientAuthority)
	if err != nil {
		return nil, err
	}
	settings.ClientCAs = x509.NewCertPool()
	if !settings.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate", clientAuthority)
	}
	settings.ClientAuth = tls.RequireAndVerifyClientCert
	return settings, nil
}

// A core that is initialized, unsealed and mounted, and that knows the token.
func start(token string) (*vault.Core, error) {
	logger := hclog.New(&hclog.LoggerOptions{Name: "vault", Level: hclog.Warn, Output: os.Stderr})
	storage, err := inmem.NewInmem(nil, logger)
	if err != nil {
		return nil, err
	}
	core, err := vault.NewCore(&vault.CoreConfig{
		Physical:           storage,
		LogicalBackends:    engines,
		CredentialBackends: logins,
		BuiltinRegistry:    compiledIn{},
		DisableMlock:       true,
		Logger:             logger,
		DefaultLeaseTTL:    24 * time.Hour,
		MaxLeaseTTL:        24 * time.Hour,
	})
	if err != nil {
		return nil, err
	}
	ctx := namespace.RootContext(context.Background())
	secrets, err := core.Initialize(ctx, &vault.InitParams{
		BarrierConfig:  &vault.SealConfig{SecretShares: 1, SecretThreshold: 1},
		RecoveryConfig: &vault.SealConfig{},
	})
	if err != nil {
		return nil, err
	}
	for _, share := range secrets.SecretShares {
		if _, err := core.Unseal(share); err != nil {
			return nil, err
		}
	}
	for deadline := time.Now().Add(unsealLimit); core.Sealed(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, errors.New("the core stays sealed")
		}
	}
	write := func(path string, data map[string]interface{}) error {
		answer, err := core.HandleRequest(ctx, &logical.Request{
			ID:          "start",
			Operation:   logical.UpdateOperation,
			ClientToken: secrets.RootToken,
			Path:        path,
			Data:        data,
		})
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if answer != nil && answer.IsError() {
			return fmt.Errorf("%s: %w", path, answer.Error())
		}
		return nil
	}
	return core, errors.Join(
		write("auth/token/create", map[string]interface{}{
			"id": token, "policies": []string{"root"}, "no_parent": true, "no_default_policy": true,
		}),
		write("sys/mounts/transit", map[string]interface{}{"type": "transit"}),
		write("sys/auth/approle", map[string]interface{}{"type": "approle"}),
		write("sys/auth/kubernetes", map[string]interface{}{"type": "kubernetes"}),
	)
}

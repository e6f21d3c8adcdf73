package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

const mib = 1 << 20

var (
	endpoint   = setting("S3_ENDPOINT")
	region     = setting("AWS_REGION")
	baseDomain = setting("S3_BASE_DOMAIN")
	canary     = setting("CANARY")
	bucket     = setting("BUCKET_PREFIX") + "files"
)

func setting(name string) string {
	value := os.Getenv(name)
	if value == "" {
		fmt.Fprintf(os.Stderr, "%s is not set; tests/clients/run sets it\n", name)
		os.Exit(2)
	}
	return value
}

// step runs one step and says that it held. The first that does not ends the program.
func step(name string, action func() error) {
	if err := action(); err != nil {
		fmt.Printf("fail\t%s\t%s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		os.Exit(1)
	}
	fmt.Printf("ok\t%s\n", name)
}

// content is `length` bytes that hold the canary again and again, with a counter so that no two pieces are alike.
func content(length, seed int) []byte {
	var text bytes.Buffer
	text.Grow(length + len(canary) + 16)
	for line := seed; text.Len() < length; line++ {
		fmt.Fprintf(&text, "%s %d\n", canary, line)
	}
	return text.Bytes()[:length]
}

// onlyReader hides everything of a reader but Read: no length, no seeking, as with a pipe.
type onlyReader struct{ io.Reader }

func unknownLength(body []byte) io.Reader { return onlyReader{bytes.NewReader(body)} }

// sameBytes tells a difference by its position, not by megabytes of output.
func sameBytes(actual, expected []byte) error {
	if bytes.Equal(actual, expected) {
		return nil
	}
	at := 0
	for at < min(len(actual), len(expected)) && actual[at] == expected[at] {
		at++
	}
	return fmt.Errorf("%d bytes instead of %d, different from byte %d", len(actual), len(expected), at)
}

func same[T comparable](what string, actual, expected T) error {
	if actual == expected {
		return nil
	}
	return fmt.Errorf("%s is %v, expected %v", what, actual, expected)
}

// fetch does what a browser does with a presigned URL.
func fetch(method, address string, body []byte, headers map[string]string) (int, []byte, error) {
	request, err := http.NewRequest(method, address, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, text, err
}

// resolved is the default transport with what a DNS entry does for a real gateway: every name below the base domain is the gateway's address.
func resolved() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	dialer := net.Dialer{}
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if host == baseDomain || strings.HasSuffix(host, "."+baseDomain) {
			host = "127.0.0.1"
		}
		return dialer.DialContext(ctx, network, net.JoinHostPort(host, port))
	}
	return transport
}

// authority is host and port of the endpoint, and whether it is https.
func authority() (*url.URL, bool) {
	address, err := url.Parse(endpoint)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	return address, address.Scheme == "https"
}

// all reads to the end and closes.
func all(body io.ReadCloser) ([]byte, error) {
	defer body.Close()
	return io.ReadAll(body)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

var errNothingRefused = errors.New("nothing was refused")

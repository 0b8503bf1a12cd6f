// Command proto compiles the .proto files of schema/wire and runs the Go
// plugins on them. It does for this repository what protoc does, with nothing
// to install: the compiler is a Go library, and go.mod pins it and the plugins.
//
// It is not a general protoc: it knows one import root, and it takes
// google/type/date.proto from the descriptors that this binary is linked with.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	_ "google.golang.org/genproto/googleapis/type/date" // google/type/date.proto
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// importRoot stands before every path in an import, and before the name under
// which a file is registered at run time. It is long enough not to collide
// with files of programs that link this library.
const importRoot = "panelmatch/wire/"

// goModule is cut off the front of generated files' names.
const goModule = "github.com/panelmatch/panelmatch/schema/wire"

func main() {
	dir := flag.String("dir", ".", "directory of the .proto files; generated Go goes beside them")
	modfile := flag.String("modfile", "", "go.mod that pins the plugins")
	flag.Parse()
	if err := run(context.Background(), *dir, *modfile); err != nil {
		fmt.Fprintln(os.Stderr, "proto:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir, modfile string) error {
	names, err := protoFiles(dir)
	if err != nil {
		return err
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(resolver(dir)),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(ctx, names...)
	if err != nil {
		return err
	}
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: names, ProtoFile: inDependencyOrder(compiled)}
	written := map[string]bool{}
	for _, plugin := range []struct{ name, parameter string }{
		{"protoc-gen-go", "module=" + goModule},
		{"protoc-gen-go-grpc", "module=" + goModule},
	} {
		if err := generate(ctx, dir, modfile, plugin.name, plugin.parameter, request, written); err != nil {
			return err
		}
	}
	return removeStale(dir, written)
}

// protoFiles lists the files below dir as imports name them, sorted.
func protoFiles(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".proto" {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		names = append(names, importRoot+filepath.ToSlash(rel))
		return err
	})
	slices.Sort(names)
	return names, err
}

// resolver finds our files on disk, and everything else among the descriptors that are linked in.
func resolver(dir string) protocompile.Resolver {
	return protocompile.CompositeResolver{
		&protocompile.SourceResolver{Accessor: func(path string) (io.ReadCloser, error) {
			rel, ours := strings.CutPrefix(path, importRoot)
			if !ours {
				return nil, fs.ErrNotExist
			}
			return os.Open(filepath.Join(dir, filepath.FromSlash(rel)))
		}},
		protocompile.ResolverFunc(func(path string) (protocompile.SearchResult, error) {
			file, err := protoregistry.GlobalFiles.FindFileByPath(path)
			if err != nil {
				return protocompile.SearchResult{}, err
			}
			return protocompile.SearchResult{Desc: file}, nil
		}),
	}
}

// inDependencyOrder returns the files and all their imports, each after what it imports, as plugins expect.
func inDependencyOrder(files linker.Files) []*descriptorpb.FileDescriptorProto {
	var out []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var visit func(protoreflect.FileDescriptor)
	visit = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			visit(file.Imports().Get(i).FileDescriptor)
		}
		out = append(out, protoutil.ProtoFromFileDescriptor(file))
	}
	for _, file := range files {
		visit(file)
	}
	return out
}

func generate(ctx context.Context, dir, modfile, plugin, parameter string, request *pluginpb.CodeGeneratorRequest, written map[string]bool) error {
	request.Parameter = proto.String(parameter)
	in, err := proto.Marshal(request)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile="+modfile, plugin)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), os.Stderr
	stdout, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", plugin, err)
	}
	response := &pluginpb.CodeGeneratorResponse{}
	if err := proto.Unmarshal(stdout, response); err != nil {
		return fmt.Errorf("%s: %w", plugin, err)
	}
	if response.Error != nil {
		return fmt.Errorf("%s: %w", plugin, errors.New(response.GetError()))
	}
	for _, file := range response.File {
		path := filepath.Join(dir, filepath.FromSlash(file.GetName()))
		if err := os.WriteFile(path, []byte(file.GetContent()), 0o644); err != nil {
			return err
		}
		written[path] = true
	}
	return nil
}

// removeStale deletes generated files whose .proto is gone.
func removeStale(dir string, written map[string]bool) error {
	return filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".pb.go") || written[path] {
			return err
		}
		return os.Remove(path)
	})
}

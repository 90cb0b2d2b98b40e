package plugin

import (
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// features are the proposals that guests may use: WebAssembly 2.0. The meter
// knows the opcodes of these alone.
const features = api.CoreFeaturesV2

// validated stops the engine where it has found a module valid.
type validated struct{}

// NewFunctionListener is asked for by the engine between validation and
// compiling, and never returns.
func (validated) NewFunctionListener(api.FunctionDefinition) experimental.FunctionListener {
	panic(validated{})
}

// validate says what is wrong with a module, by the engine's own validator.
// The engine offers no call that validates alone. It does ask for listeners
// when it has validated a module that has functions, before it compiles them:
// there it is stopped, so that large modules are not compiled twice. Should a
// version of the engine no longer ask, it compiles, for its interpreter, and
// the answer is the same.
func validate(ctx context.Context, module []byte, memoryPages uint32) (err error) {
	rt := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigInterpreter().
		WithCoreFeatures(features).WithMemoryLimitPages(memoryPages).WithDebugInfoEnabled(false))
	defer rt.Close(ctx)
	defer func() {
		switch r := recover(); r.(type) {
		case nil:
		case validated:
			err = nil
		default:
			err = fmt.Errorf("validating panicked: %v", r)
		}
	}()
	_, err = rt.CompileModule(experimental.WithFunctionListenerFactory(ctx, validated{}), module)
	return err
}

// What the Debian archive provides, and why each one is needed.
// `tool` is a program whose presence shows the package is there on systems that have no dpkg.
export const debianPackages = [
  // name                     tool              reason
  ['git',                     'git',            'the checkout itself, and the version stamped into the binaries'],
  ['cmake',                   'cmake',          'the build description'],
  ['ninja-build',             'ninja',          'the build, fast when nothing changed'],
  ['clang-19',                'clang++-19',     'native compiler, and the compiler inside Emscripten'],
  ['lld-19',                  'wasm-ld-19',     'linker of Emscripten'],
  ['llvm-19',                 'llvm-ar-19',     'archiver and object tools of Emscripten'],
  ['libclang-rt-19-dev',      null,             'runtime of the sanitizers in the debug build'],
  ['clang-format-19',         'clang-format-19', 'npm run format, npm run lint'],
  ['clang-tidy-19',           'clang-tidy-19',  'static checks'],
  ['g++',                     'g++',            'standard C++ library, and the second compiler the engine must stay correct with'],
  ['zlib1g-dev',              null,             'gzip of data sets'],
  ['libpng-dev',              null,             'images on the native command line'],
  ['libssl-dev',              null,             'checksums and https for fetched data sets'],
  ['nlohmann-json3-dev',      null,             'model specs and reports'],
  ['libcli11-dev',            null,             'options of the native command line'],
  ['libgtest-dev',            null,             'native tests'],
  ['libbenchmark-dev',        null,             'native benchmarks'],
  ['libprotozero-dev',        null,             'protocol buffers of ONNX files'],
  ['libeigen3-dev',           null,             'SVD for low rank, and the independent oracle in tests'],
  ['chromium',                'chromium',       'tests of the page'],
  ['firefox-esr',             null,             'the first minute and the same weights in another engine'],
  ['webkit2gtk-driver',       null,             'the same in WebKit, which has neither relaxed SIMD nor threads'],
  ['xvfb',                    null,             'the screen that WebKitGTK needs'],
  ['python3',                 'python3',        'the Emscripten driver is Python'],
].map(([name, tool, reason]) => ({ name, tool, reason }));

// From this Debian release on, the archive's own Emscripten is new enough.
export const debianWithEmscripten = 13;

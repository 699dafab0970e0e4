// usage: node build.mjs OUT.cpp FOLDER: bundles the page into FOLDER, and writes its files, compressed, as C++ source.
import {createHash} from 'node:crypto';
import {mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync} from 'node:fs';
import {gzipSync} from 'node:zlib';
import {build} from 'esbuild';

const [source, folder] = process.argv.slice(2);
if (!source || !folder) throw new Error('usage: node build.mjs OUT.cpp FOLDER');
const types = {'.js': 'text/javascript; charset=utf-8', '.css': 'text/css; charset=utf-8'};

rmSync(folder, {recursive: true, force: true});
mkdirSync(folder, {recursive: true});
const result = await build({
  entryPoints: {app: 'src/main.tsx', style: 'src/style/all.css'},
  outdir: folder,
  entryNames: '[name]-[hash]',
  chunkNames: '[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  target: ['es2022'],
  minify: true,
  charset: 'utf8',
  legalComments: 'eof',
  jsx: 'automatic',
  jsxImportSource: 'preact',
  metafile: true,
  logLevel: 'warning',
});

const named = (start) => Object.keys(result.metafile.outputs).map((path) => path.split('/').pop())
                             .find((name) => name.startsWith(start) && /\.(js|css)$/.test(name));
// What the first view needs is named in its document, so that it is asked for at once.
const parts = Object.entries(result.metafile.outputs).find(([path]) => path.endsWith(named('app-')))[1].imports
                  .filter((one) => one.kind === 'import-statement')
                  .map((one) => `<link rel="modulepreload" href="page/${one.path.split('/').pop()}">`);
const files = [{
  path: '/', type: 'text/html; charset=utf-8',
  bytes: Buffer.from(readFileSync('index.html', 'utf8').replace('PARTS', parts.join('\n'))
                         .replace('STYLE', 'page/' + named('style-')).replace('SCRIPT', 'page/' + named('app-'))),
}];
for (const name of readdirSync(folder).sort())
  files.push({path: '/page/' + name, type: types[name.slice(name.lastIndexOf('.'))], bytes: readFileSync(folder + '/' + name)});

// Bytes as the inside of a C++ string literal; octal escapes of three digits end by themselves.
const literal = (bytes) => {
  let text = '"';
  bytes.forEach((byte, i) => {
    if (i > 0 && i % 4096 === 0) text += '"\n    "';
    const plain = byte >= 32 && byte < 127 && byte !== 34 && byte !== 92 && byte !== 63;
    text += plain ? String.fromCharCode(byte) : '\\' + byte.toString(8).padStart(3, '0');
  });
  return text + '"';
};

let text = `// Made by page/build.mjs.
#include "page/page_files.h"

namespace aviary {
namespace {

constexpr PageFile files[] = {
`;
for (const file of files) {
  const packed = gzipSync(file.bytes, {level: 9});
  packed[9] = 255;  // the same bytes on every system
  const hash = createHash('sha256').update(file.bytes).digest('hex').slice(0, 20);
  text += `  {"${file.path}", "${file.type}", "${hash}", {${literal(packed)}, ${packed.length}}},\n`;
  console.log(`${String(packed.length).padStart(8)} bytes gzip  ${file.path}`);
}
text += `};

}  // namespace

std::span<const PageFile> page_files() { return files; }
std::string_view page_missing() { return {}; }

}  // namespace aviary
`;
writeFileSync(source, text);

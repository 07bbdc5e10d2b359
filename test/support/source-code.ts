/**
 * @module TypeScript as text: what of a file is code, and what it imports. A lexer and no parser: it knows comments,
 * strings, templates and regular expressions, which is what a search through sources trips over.
 */

const BEFORE_REGEX = /(?:^|[=(,:[!&|?{};+\-*%<>~^]|\b(?:return|typeof|case|in|of|yield|await))\s*$/

/** Where the quoted thing that opens at `at` ends. */
function endOfQuoted(text: string, at: number, close: string): number {
  let end = at + 1
  while (end < text.length && text[end] !== close) end += text[end] === '\\' ? 2 : 1
  return end + 1
}

function endOfRegex(text: string, at: number): number {
  let end = at + 1
  for (let inClass = false; end < text.length; end++) {
    const char = text[end]
    if (char === '\\') end++
    else if (char === '[') inClass = true
    else if (char === ']') inClass = false
    else if (char === '/' && !inClass) break
  }
  return end + 1
}

/**
 * A file without comments. Strings are kept, or emptied if `strings` is false; regular expressions and the texts of
 * templates are emptied, what a template holds in `${…}` is kept.
 */
export function codeOf(text: string, strings = false): string {
  let code = ''
  // For each template that is open: how many braces are open within its current `${…}`.
  const templates: number[] = []
  let at = 0
  const template = (): void => {
    while (at < text.length && text[at] !== '`') {
      if (text.startsWith('${', at)) {
        at += 2
        templates.push(0)
        code += '${'
        return
      }
      at += text[at] === '\\' ? 2 : 1
    }
    at++
    code += '`'
  }
  while (at < text.length) {
    const char = text[at] ?? ''
    const depth = templates.at(-1)
    if (text.startsWith('//', at) || (at === 0 && text.startsWith('#!'))) {
      const end = text.indexOf('\n', at)
      at = end < 0 ? text.length : end
    } else if (text.startsWith('/*', at)) {
      at = text.indexOf('*/', at) + 2
    } else if (char === "'" || char === '"') {
      const end = endOfQuoted(text, at, char)
      code += strings ? text.slice(at, end) : char + char
      at = end
    } else if (char === '/' && BEFORE_REGEX.test(code.slice(-80))) {
      at = endOfRegex(text, at)
      code += '/r/'
    } else if (char === '`') {
      at++
      code += '`'
      template()
    } else if (char === '}' && depth === 0) {
      templates.pop()
      at++
      code += '}'
      template()
    } else {
      if (depth !== undefined && char === '{') templates[templates.length - 1] = depth + 1
      if (depth !== undefined && char === '}') templates[templates.length - 1] = depth - 1
      code += char
      at++
    }
  }
  return code
}

/** Specifiers of all imports and exports: of values and of types, and dynamic ones (`(computed)` if not a string). */
export function importsOf(text: string): readonly string[] {
  const code = codeOf(text, true)
  const statics = code.matchAll(
    /(?:^|[\n;}])\s*(?:import|export)\s(?:[^'"`=()]*?\sfrom\s*)?['"]([^'"]+)['"]/g,
  )
  const calls = code.matchAll(/\bimport\s*\(\s*(?:['"]([^'"]+)['"])?/g)
  return [...statics, ...calls].map((match) => match[1] ?? '(computed)')
}

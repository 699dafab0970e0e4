// Markdown of a model to HTML that can do nothing: no scripts, no images, no styles, no forms.
import DOMPurify from 'dompurify';
import {Marked} from 'marked';
import {visible} from './text';

// Other texts are shown as they are: reading Markdown takes time that grows with the square of a line's length.
const longestMarkdown = 100_000, longestLine = 8000;
const deep = /^(?:[ \t]*(?:>|[-*+]|\d+[.)])[ \t]*){12}/m;

const marked = new Marked({gfm: true, breaks: true, async: false});
marked.use({
  renderer: {
    // HTML in the text is text.
    html: ({text}) => escaped(text),
    image: ({text, href}) => escaped(`[image: ${text || href}]`),
  },
});

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (c) => ({'&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;'})[c]!);
}

const allowed = {
  ALLOWED_TAGS: ['p', 'br', 'hr', 'h1', 'h2', 'h3', 'h4', 'h5', 'h6', 'ul', 'ol', 'li', 'blockquote', 'pre', 'code', 'em',
    'strong', 'del', 'a', 'table', 'thead', 'tbody', 'tr', 'th', 'td'],
  ALLOWED_ATTR: ['href', 'align', 'start'],
  ALLOWED_URI_REGEXP: /^(https?|mailto):/i,
};

const purifier = DOMPurify();
purifier.addHook('afterSanitizeAttributes', (node) => {
  if (node.tagName === 'A') {
    node.setAttribute('rel', 'noopener noreferrer nofollow');
    node.setAttribute('target', '_blank');
    node.setAttribute('title', node.getAttribute('href') ?? '');
  }
  if (node.tagName === 'PRE') node.setAttribute('tabindex', '0');
});

// A text in blocks. `kept` of them stay as they are when it grows: those that end before the character `to`.
export interface Blocks { text: string; blocks: string[]; kept: number; to: number }

// The text in blocks, so that only the last one changes while it grows; nothing if it is too long. `before`: what was found of an
// earlier text; if it has only grown since then, its last block is read again, and what is new.
export function blocksOf(text: string, before: Blocks | null = null): Blocks | null {
  if (text.length > longestMarkdown || deep.test(text)) return null;
  for (let at = 0, end; at < text.length; at = end + 1) {
    end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    if (end - at > longestLine) return null;
  }
  const shown = visible(text).replace(/\r\n?/g, '\n'), grows = before !== null && shown.startsWith(before.text);
  const blocks = grows ? before.blocks.slice(0, before.kept) : [];
  let at = grows ? before.to : 0, to = at;
  for (const token of marked.lexer(shown.slice(at))) {
    if (token.type !== 'space') {
      blocks.push(token.raw);
      to = at;
    }
    at += token.raw.length;
  }
  const sure = at === shown.length && blocks.length > 0;
  return {text: shown, blocks, kept: sure ? blocks.length - 1 : 0, to: sure ? to : 0};
}

const known = new Map<string, string>();

export function htmlOf(block: string): string {
  let html = known.get(block);
  if (html === undefined) {
    html = purifier.sanitize(marked.parse(block) as string, allowed);
    if (known.size > 2000) known.clear();
    known.set(block, html);
  }
  return html;
}

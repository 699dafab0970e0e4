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

// The text in blocks, so that only the last one changes while it grows; nothing if it is too long.
export function blocksOf(text: string): string[] | null {
  if (text.length > longestMarkdown || deep.test(text)) return null;
  for (let at = 0, end; at < text.length; at = end + 1) {
    end = text.indexOf('\n', at);
    if (end < 0) end = text.length;
    if (end - at > longestLine) return null;
  }
  return marked.lexer(visible(text)).filter((token) => token.type !== 'space').map((token) => token.raw);
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

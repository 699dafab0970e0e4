// Conversations and documents, kept in the browser (IndexedDB).
const version = 1;

let opened: Promise<IDBDatabase> | null = null;

function open(): Promise<IDBDatabase> {
  opened ??= new Promise((done, fail) => {
    const request = indexedDB.open('aviary', version);
    request.onupgradeneeded = () => {
      for (const name of ['conversations', 'documents']) request.result.createObjectStore(name, {keyPath: 'id'});
    };
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });
  return opened;
}

async function run<T>(store: string, mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await open();
  return new Promise((done, fail) => {
    const request = act(database.transaction(store, mode).objectStore(store));
    request.onsuccess = () => done(request.result);
    request.onerror = () => fail(request.error);
  });
}

export const keep = (store: string, value: {id: string}) => run(store, 'readwrite', (s) => s.put(value));
export const forget = (store: string, id: string) => run(store, 'readwrite', (s) => s.delete(id));
export const everything = <T,>(store: string) => run<T[]>(store, 'readonly', (s) => s.getAll());
